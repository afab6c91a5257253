"""Which precision a cross-encoder is served in: the faster one here whose scores are still those of float32."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from torch import nn

from models.base import TokenPair, UnsupportedModelError, Vectors
from models.launching import PaddedLauncher
from models.pair import PairForward, PairRectangle
from models.parity import probed
from models.precision import DtypeChoice, half_precision
from models.timing import best_seconds
from models.tracing import traced

# Most that the probability of any probe may move from float32 in a reduced precision. A hundredth is 0.04 of a logit
# where the sigmoid is steepest: documents change places only where they practically tie, and no threshold is that fine.
PARITY = 0.01
# The same for a traced float32 forward, which differs from the eager one in the order of its sums only.
_TRACE_PARITY = 1e-4

PairLauncher = PaddedLauncher[TokenPair]


@dataclass(frozen=True, slots=True)
class PairServing:
    """What the forms of one cross-encoder have in common.

    Attributes:
        activation: on its logits.
        probes: pairs on which forms are compared, as ``parity.probed`` takes them.
    """

    device: str
    rectangle: PairRectangle
    activation: nn.Module
    probes: Sequence[TokenPair]

    def eager(self, model: CrossEncoder) -> PairLauncher:
        """The library's modules as they are."""
        return PaddedLauncher(PairForward(model, self.activation).eval(), self.rectangle.arrays, self.device)

    def fastest(self, eager: PairLauncher) -> PairLauncher:
        """The same, traced on the CPU; a GPU runs it as it is."""
        if self.device != "cpu":
            return eager
        example = tuple(map(torch.from_numpy, self.rectangle.arrays(self.probes)))
        module = traced(eager.forward, example)
        return PaddedLauncher(module, self.rectangle.arrays, self.device, weights=eager.weights_bytes)

    def scores(self, launcher: PairLauncher) -> Vectors:
        """What ``launcher`` makes of the probes, ``(2 * len(probes), 1)``."""
        return probed(launcher, self.probes)

    def moved(self, launcher: PairLauncher, expected: Vectors) -> float:
        """Most that ``launcher`` moves a score from the ``expected``; not a number where a score is none.

        Logits are compared as probabilities, so that one limit fits folders with and without a sigmoid.
        """
        scores = self.scores(launcher)
        if isinstance(self.activation, nn.Identity):
            scores, expected = (torch.from_numpy(logits).sigmoid().numpy() for logits in (scores, expected))
        return float(np.max(np.abs(scores - expected)))


@dataclass(frozen=True, slots=True)
class ChosenPairs:
    """A launcher, its precision, and why this one."""

    launcher: PairLauncher
    dtype: str
    reason: str


def choose_for_pairs(
    load: Callable[[torch.dtype], CrossEncoder], reference: CrossEncoder, serving: PairServing, choice: DtypeChoice
) -> ChosenPairs:
    """The launcher to serve with.

    Args:
        load: gives the model in another precision.
        reference: the model in float32.
        serving: what the forms have in common.
        choice: ``auto`` measures the half precision of this device against float32 and keeps the faster one.

    Raises:
        UnsupportedModelError: the library's own modules give no scores.
    """
    exact = serving.eager(reference)
    expected = serving.scores(exact)
    if not np.isfinite(expected).all():
        raise UnsupportedModelError("its scores in float32 are not numbers")
    full = serving.fastest(exact)
    if not serving.moved(full, expected) <= _TRACE_PARITY:
        full = exact
    if choice == "float32":
        return ChosenPairs(full, "float32", "asked for")
    wanted = half_precision(serving.device) if choice == "auto" else choice
    reduced = serving.fastest(serving.eager(load(getattr(torch, wanted))))
    moved = serving.moved(reduced, expected)
    if not moved <= PARITY:  # a NaN is no parity either
        return ChosenPairs(
            full, "float32", f"{wanted} moves a probability by {moved:.4f} from float32, more than {PARITY}"
        )
    if choice != "auto":
        return ChosenPairs(reduced, wanted, f"asked for; probabilities within {moved:.4f} of float32")
    seconds = [best_seconds(partial(serving.scores, launcher)) for launcher in (full, reduced)]
    speedup = seconds[0] / seconds[1]
    if speedup < 1:
        return ChosenPairs(full, "float32", f"{wanted} runs at {speedup:.2f}x the speed of float32 here")
    reason = f"{speedup:.1f}x the speed of float32 here; probabilities within {moved:.4f} of it"
    return ChosenPairs(reduced, wanted, reason)
