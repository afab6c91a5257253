"""Which precision a model is served in: the fastest one here whose vectors are still those of float32."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import nn

from models.base import UnsupportedModelError
from models.forms import Form, Serving, best_form, exact_launcher
from models.timing import best_seconds

DtypeChoice = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A form, its precision, and why this one."""

    form: Form
    dtype: str
    reason: str


def choose(
    load: Callable[[torch.dtype], nn.Sequential],
    reference: nn.Sequential,
    serving: Serving,
    choice: DtypeChoice,
) -> Chosen:
    """The form to serve with.

    Args:
        load: gives the model in another precision.
        reference: the model in float32.
        serving: what the forms have in common.
        choice: ``auto`` takes, on a GPU, the half precision that it computes in; on the CPU, bfloat16 where that is
            measured to be faster.

    Raises:
        UnsupportedModelError: the library's own modules cannot run it.
    """
    exact = exact_launcher(reference, serving)
    expected = serving.vectors(exact)
    if not np.isfinite(expected).all():
        raise UnsupportedModelError("its vectors in float32 are not numbers")
    try:
        full = best_form(reference, serving, expected)
    except UnsupportedModelError as error:
        full = Form("generic eager", str(error), 1.0, exact, None)
    if choice == "float32":
        return Chosen(full, "float32", "asked for")
    wanted = half_precision(serving.device) if choice == "auto" else choice
    try:
        reduced = best_form(load(getattr(torch, wanted)), serving, expected)
    except UnsupportedModelError as error:
        return Chosen(full, "float32", f"not {wanted}: {error}")
    if choice != "auto":
        return Chosen(reduced, wanted, f"asked for; cosine {reduced.parity:.5f} to float32")
    if serving.device != "cpu":
        return Chosen(reduced, wanted, f"this GPU computes in it; cosine {reduced.parity:.5f} to float32")
    seconds = [best_seconds(partial(serving.vectors, form.launcher)) for form in (full, reduced)]
    speedup = seconds[0] / seconds[1]
    if speedup < 1:
        return Chosen(full, "float32", f"{wanted} runs at {speedup:.2f}x the speed of float32 here")
    reason = f"{speedup:.1f}x the speed of float32 here; cosine {reduced.parity:.5f} to it"
    return Chosen(reduced, wanted, reason)


def half_precision(device: str) -> Literal["bfloat16", "float16"]:
    """The one that ``device`` computes in rather than emulates."""
    if device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16"
