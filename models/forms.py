"""The forms of a sentence model: the same weights, run in the fastest way that gives the same vectors.

On the CPU a form is traced, on a GPU it packs rows where the precision has a kernel for that. Each is compared with
the modules as they were read, in float32, before it serves, and the next one takes its place where it differs or fails.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from models.base import TokenIds, UnsupportedModelError, Vectors
from models.bert import BertEncoder, attend_varlen
from models.device import fault_of
from models.launching import Launcher, PackedLauncher, PaddedLauncher, Rectangle
from models.parity import PARITY, lowest_cosine, probed
from models.prepacked import prepack
from models.sentence import BertForward, LibraryForward, PackedForward, transformer_of
from models.tracing import traced
from models.weights import weights_bytes


@dataclass(frozen=True, slots=True)
class Serving:
    """What every form of one model has in common.

    Attributes:
        device: where it runs.
        dimension: length of its vectors.
        rectangle: how its rows are padded.
        probes: inputs on which forms are compared, as ``parity.probed`` takes them.
    """

    device: str
    dimension: int
    rectangle: Rectangle
    probes: Sequence[TokenIds]

    def vectors(self, launcher: Launcher[TokenIds]) -> Vectors:
        """What ``launcher`` makes of the probes, ``(2 * len(probes), dimension)``."""
        return probed(launcher, self.probes)

    def example(self) -> tuple[Tensor, ...]:
        """Ids and mask of two rows of unequal length."""
        probe = max(self.probes, key=len)
        return tuple(map(torch.from_numpy, self.rectangle.arrays([probe, probe[: len(probe) // 2 + 1]])))


@dataclass(frozen=True, slots=True)
class Form:
    """A form that equals the reference.

    Attributes:
        reason: its parity, and why the forms before it were passed over.
        bert: the padded forward of our own encoder, where the model is of its family.
    """

    name: str
    reason: str
    parity: float
    launcher: Launcher[TokenIds]
    bert: BertForward | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    build: Callable[[], Launcher[TokenIds]]
    bert: BertForward | None = None


def exact_launcher(reference: nn.Sequential, serving: Serving) -> Launcher[TokenIds]:
    """The modules as they were read: what every form is compared with, and the last resort."""
    return PaddedLauncher(LibraryForward(reference, serving.dimension).eval(), serving.rectangle.arrays, serving.device)


def best_form(model: nn.Sequential, serving: Serving, expected: Vectors) -> Form:
    """The first form of ``model`` that gives the ``expected`` vectors of the probes.

    Raises:
        UnsupportedModelError: none does.
        DeviceMemoryError, DeviceLostError: of the device.
    """
    passed_over: list[str] = []
    if not BertEncoder.supports(transformer_of(model)):
        passed_over.append(f"{type(transformer_of(model)).__name__} is not of the BERT family")
    for candidate in _candidates(model, serving):
        try:
            launcher = candidate.build()
            parity = lowest_cosine(serving.vectors(launcher), expected)
        # What a forward raises over a model it was not made for is up to the model.
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
            fault = fault_of(error, serving.device)
            if fault is not None:
                raise fault from None
            passed_over.append(f"{candidate.name} fails with {type(error).__name__}: {str(error).strip()[-200:]}")
            continue
        if parity >= PARITY:
            reason = "; ".join([f"cosine {parity:.5f} to the modules in float32", *passed_over])
            return Form(candidate.name, reason, parity, launcher, candidate.bert)
        passed_over.append(f"{candidate.name} has cosine {parity:.5f}, below {PARITY}")
    raise UnsupportedModelError("; ".join(passed_over))


def _candidates(model: nn.Sequential, serving: Serving) -> Iterator[_Candidate]:
    """The forms to try, fastest first."""
    library = LibraryForward(model, serving.dimension).eval()
    bert = _bert_forward(model, serving)
    if serving.device == "cpu":
        if bert is not None:
            if bert.encoder.words.weight.dtype == torch.bfloat16:
                yield _Candidate("traced bert, weights prepacked", partial(_prepacked, model, serving), bert)
            yield _Candidate("traced bert", _padded(bert, serving, trace=True), bert)
        yield _Candidate("traced generic", _padded(library, serving, trace=True))
    elif bert is not None:
        if bert.encoder.words.weight.dtype != torch.float32 and PackedForward.supports(list(bert.later)):
            packed = PackedForward(bert.encoder, list(bert.later), serving.dimension).eval()
            yield _Candidate("varlen bert", lambda: PackedLauncher(packed, serving.device), bert)
        yield _Candidate("padded bert", _padded(bert, serving), bert)
    yield _Candidate("generic eager", _padded(library, serving))


def _padded(forward: nn.Module, serving: Serving, *, trace: bool = False) -> Callable[[], Launcher[TokenIds]]:
    def build() -> Launcher[TokenIds]:
        module = traced(forward, serving.example()) if trace else forward
        return PaddedLauncher(module, serving.rectangle.arrays, serving.device, weights=weights_bytes(forward))

    return build


def _prepacked(model: nn.Sequential, serving: Serving) -> Launcher[TokenIds]:
    encoder = prepack(BertEncoder(transformer_of(model)))
    return _padded(BertForward(encoder, list(model)[1:], serving.dimension).eval(), serving, trace=True)()


def _bert_forward(model: nn.Sequential, serving: Serving) -> BertForward | None:
    transformer = transformer_of(model)
    if not BertEncoder.supports(transformer):
        return None
    encoder = BertEncoder(transformer, attend_varlen)
    return BertForward(encoder, list(model)[1:], serving.dimension).eval()
