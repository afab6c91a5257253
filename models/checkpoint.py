"""A model folder read through the library that defines its format, which takes seconds to import."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers.utils import logging as transformers_logging

from models.base import UnsupportedModelError
from models.folder_faults import typed_faults

# A weight that nothing after the transformer reads: sentence models are often saved without it.
_UNUSED_WEIGHT = re.compile(r"(^|\.)pooler\.")
# A line of the library's report; equal weights of several layers share one, as "layer.{0, 1}.output.weight".
_MISSING_WEIGHT = re.compile(r"^(\S.*?)\s*\|\s*MISSING", re.MULTILINE)
# On a terminal the report is coloured.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def load_sentence_transformer(folder: Path, device: str, dtype: torch.dtype) -> SentenceTransformer:
    """The modules of ``folder`` on ``device``, in evaluation mode; no code of the folder is run, nothing is fetched.

    Raises:
        UnsupportedModelError: a file is missing, corrupt or of another shape, or needs code of the folder's own.
        DeviceMemoryError, DeviceLostError: of ``device``.
    """
    _silence_transformers()
    with typed_faults(folder, device), missing_weights_refused(folder, unused=_UNUSED_WEIGHT):
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        ).eval()


def load_cross_encoder(folder: Path, device: str, dtype: torch.dtype) -> CrossEncoder:
    """As ``load_sentence_transformer``; its scores are logits, whatever activation the folder names.

    Raises:
        UnsupportedModelError: also for more than one label, and for modules beside the one transformer.
        DeviceMemoryError, DeviceLostError: of ``device``.
    """
    _silence_transformers()
    with typed_faults(folder, device), missing_weights_refused(folder):
        model: CrossEncoder = CrossEncoder(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            activation_fn=torch.nn.Identity(),
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        ).eval()
        if model.num_labels != 1:
            raise UnsupportedModelError(f"{folder} has {model.num_labels} labels; a reranker has one")
        if len(model) != 1 or getattr(model[0], "transformer_task", None) != "sequence-classification":
            raise UnsupportedModelError(f"{folder} has modules other than one sequence-classification transformer")
        return model


def _silence_transformers() -> None:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


@contextmanager
def missing_weights_refused(folder: Path, unused: re.Pattern[str] | None = None) -> Iterator[None]:
    """Refuse a folder whose weights lack a parameter; the library would draw it at random and warn.

    Args:
        folder: whose weights are loaded within.
        unused: names of parameters that may be missing.

    Raises:
        UnsupportedModelError: names the first of them.
    """
    report = _LoadReport()
    logger = logging.getLogger("transformers.modeling_utils")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(report)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(report)
        logger.setLevel(level)
        logger.propagate = propagates
    missing = [name for name in report.missing if unused is None or not unused.search(name)]
    if missing:
        raise UnsupportedModelError(
            f"{folder} cannot be loaded: its weights lack {missing[0]} and {len(missing) - 1} more"
        )


class _LoadReport(logging.Handler):
    """Collects the weights that the library's report of a load calls missing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.missing += _MISSING_WEIGHT.findall(_COLOUR.sub("", record.getMessage()))
