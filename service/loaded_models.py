"""LoadedModels: every model of this process, loaded, measured and warmed up on the device thread."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Generic, Self, TypeVar

from models.base import Embedder, EmbedderInfo, Reranker, RerankerInfo, TextKind
from models.memory import cap_at
from models.transformer import TransformerEmbedder
from service.calibration import calibrate
from service.embedding_settings import EmbeddingSettings
from service.rerank_settings import RerankSettings
from service.scheduling.capacity import Capacity
from service.scheduling.scheduler import Policy
from service.served_model import ServedModel

# Most tokens that calibration tries. A query waits for what is under way, and a CPU takes its time.
_CPU_CEILING = 2048
_GPU_CEILING = 131_072
# The next batch is launched while one runs: on a GPU so that it never waits, on a CPU so that a query goes beside a
# batch of bulk work and not behind it.
_DEPTH = 2
# A budget holds at least one text of this length, so that texts share a forward whatever the calibration saw.
_LEAST_BUDGET = 256

M = TypeVar("M", Embedder, Reranker)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """A model, and how the engine is to run it."""

    model: M
    served: ServedModel

    @classmethod
    def measured(
        cls, model: M, width: int, tokenize: Callable[[Sequence[str]], Sequence[Sized]], settings: EmbeddingSettings
    ) -> Self:
        """Find the token budget of a model and run its largest shapes once."""
        ceiling = settings.max_batch_tokens or (_CPU_CEILING if model.info.device == "cpu" else _GPU_CEILING)
        calibration = calibrate(model, tokenize, ceiling)
        budget = settings.max_batch_tokens or max(calibration.knee_tokens, _LEAST_BUDGET)
        capacity = Capacity(budget, calibration.cost, settings.bulk_batch_ms / 1000)
        return cls(model, ServedModel(model, width, capacity, model.warm_up(budget), calibration.knee_tokens))


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """All of them.

    Attributes:
        embedders: the default one first.
        reranker: None where the settings name none.
    """

    embedders: Sequence[Loaded[Embedder]]
    reranker: Loaded[Reranker] | None

    @classmethod
    def load(cls, settings: EmbeddingSettings, rerank: RerankSettings, default: Embedder | None = None) -> Self:
        """Load what the settings name, on the calling thread, which must run the forwards too.

        Args:
            default: stands in for ``settings.model``.

        Raises:
            ModelError: one of them cannot be loaded or run.
        """
        device, dtype, threads = settings.device, settings.dtype, settings.threads
        load = partial(TransformerEmbedder.load, device=device, dtype=dtype, threads=threads)
        embedders: list[Embedder] = [default or load(settings.model), *map(load, settings.also)]
        reranker = _load_reranker(rerank.model, settings) if rerank.model else None
        # Measured when all of them are there, so that the peak of each counts the weights of all.
        measured = [_measured_embedder(embedder, settings) for embedder in embedders]
        loaded = cls(measured, _measured_reranker(reranker, settings) if reranker else None)
        cap_at(max(model.memory_bytes for model in loaded.served().values()), embedders[0].info.device)
        return loaded

    def infos(self) -> list[EmbedderInfo | RerankerInfo]:
        """What is known of each."""
        infos: list[EmbedderInfo | RerankerInfo] = [loaded.model.info for loaded in self.embedders]
        return [*infos, self.reranker.model.info] if self.reranker else infos

    def served(self) -> dict[str, ServedModel]:
        """All of them, by name."""
        served = {loaded.model.info.name: loaded.served for loaded in self.embedders}
        return served | ({self.reranker.model.info.name: self.reranker.served} if self.reranker else {})

    def policy(self, settings: EmbeddingSettings) -> Policy:
        """How they share the device."""
        longest = max(info.max_tokens for info in self.infos())
        return Policy(_DEPTH, settings.ageing_ms / 1000, quantum=longest)


def _load_reranker(name: str, settings: EmbeddingSettings) -> Reranker:
    from models.cross_encoder import CrossEncoderReranker  # noqa: PLC0415  brings seconds of imports that few want

    return CrossEncoderReranker.load(name, device=settings.device, dtype=settings.dtype, threads=settings.threads)


def _measured_embedder(model: Embedder, settings: EmbeddingSettings) -> Loaded[Embedder]:
    texts = partial(model.tokenize, kind=TextKind.DOCUMENT)
    return Loaded[Embedder].measured(model, model.info.dimension, texts, settings)


def _measured_reranker(model: Reranker, settings: EmbeddingSettings) -> Loaded[Reranker]:
    return Loaded[Reranker].measured(model, 1, partial(model.tokenize, "a"), settings)
