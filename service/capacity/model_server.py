"""ModelServer: what one vLLM server takes of a card beside its weights and its cache."""

from dataclasses import dataclass, replace

from service.capacity.amount import Amount
from service.capacity.kv_cache import KvCache
from service.capacity.language_model import LanguageModel
from service.llm_settings import LlmSettings

_MIB = 1 << 20
# A process that computes on a card: driver, kernels, handles. Its size depends on the driver; this is an assumption.
CONTEXT = Amount(600 * _MIB, False, "a CUDA context; assumed, not measured here")
# Captured for some fifty batch sizes; vLLM logs the real number as "Graph capturing finished ... took".
_GRAPHS = Amount(1024 * _MIB, False, "CUDA graphs; assumed, not measured here")
_COLLECTIVES = 512 * _MIB
# vLLM's own default of max_num_batched_tokens (engine/arg_utils.py, 0.32), by the memory of the card.
_BATCHED = ((160 << 30, 16_384), (70 << 30, 8192), (0, 2048))
# Logits in float32, their probabilities, and these sorted.
_LOGITS_COPIES, _LOGITS_BYTES = 3, 4
# Residual, its normalised copy, and the input and output of a product.
_HIDDEN_COPIES = 4


@dataclass(frozen=True, slots=True)
class ServerNeeds:
    """What a server takes of each of its cards, the cache aside, and what its cache is made of."""

    weights: Amount
    activations: Amount
    kv_cache: KvCache

    @property
    def fixed_bytes(self) -> int:
        """Of weights, activations and context."""
        return self.weights.bytes + self.activations.bytes + CONTEXT.bytes


@dataclass(frozen=True, slots=True)
class ModelServer:
    """One model, as it is to be served.

    Attributes:
        settings: what its command line is made of; managed.
        url: where it listens.
        kv_dtype: one of ``KV_DTYPES``.
        batched_tokens: of one step; None takes vLLM's default for the card.
        captures: CUDA graphs are captured.
        devices: the cards it has to be on; None leaves that to the plan.
        kv_cache_bytes: on each card; None takes what is left.
    """

    model: LanguageModel
    settings: LlmSettings
    url: str
    context: int
    sequences: int
    kv_dtype: str = "auto"
    batched_tokens: int | None = None
    captures: bool = True
    devices: tuple[int, ...] | None = None
    kv_cache_bytes: int | None = None

    @property
    def name(self) -> str:
        """As the server is asked for it."""
        return self.settings.model

    def batch(self, card_bytes: int) -> int:
        """Tokens of one step."""
        return self.batched_tokens or next(tokens for least, tokens in _BATCHED if card_bytes >= least)

    def needs(self, cards: int, card_bytes: int) -> ServerNeeds:
        """Of each of so many cards."""
        cache = self.model.kv_cache(self.kv_dtype, cards, self.batch(card_bytes))
        return ServerNeeds(self.model.weights(cards), self._activations(cards, card_bytes), cache)

    def _activations(self, cards: int, card_bytes: int) -> Amount:
        """Most that one step needs, with the graphs: tensors that live at once in the widest part of a layer.

        The logits are of as many sequences as may run, since only their last tokens are asked for.
        """
        shape, tokens = self.model.architecture, self.batch(card_bytes)
        attention = shape.attention
        attending = 2 * (attention.heads + attention.kv_heads) * attention.width
        inner = 3 * shape.intermediate
        wide = _HIDDEN_COPIES * shape.hidden + max(attending, inner) // cards
        logits = self.sequences * shape.vocabulary * _LOGITS_BYTES * _LOGITS_COPIES
        graphs = _GRAPHS.bytes if self.captures else 0
        collectives = _COLLECTIVES if cards > 1 else 0
        said = f"{tokens} tokens a step by the widths of a layer, logits of {self.sequences} sequences"
        said += f", {graphs // _MIB} MiB assumed for CUDA graphs" if graphs else ""
        said += f", {collectives // _MIB} MiB assumed for collectives" if collectives else ""
        return Amount(tokens * wide * self.model.width + logits + graphs + collectives, False, said)

    def in_float8(self) -> "ModelServer | None":
        """With its weights quantised while they are loaded; None where that is not possible."""
        model = self.model.in_float8()
        return self._with_arguments(replace(self, model=model), "--quantization", "fp8") if model else None

    def with_cache_in(self, kv_dtype: str) -> "ModelServer":
        """With its cache in another dtype."""
        return self._with_arguments(replace(self, kv_dtype=kv_dtype), "--kv-cache-dtype", kv_dtype)

    def with_context(self, context: int) -> "ModelServer":
        """For sequences of another length."""
        settings = self.settings.model_copy(update={"context": context})
        return replace(self, settings=settings, context=context)

    @staticmethod
    def _with_arguments(server: "ModelServer", *arguments: str) -> "ModelServer":
        managed = server.settings.managed
        if managed is None:
            return server
        changed = managed.model_copy(update={"args": (*managed.args, *arguments)})
        return replace(server, settings=server.settings.model_copy(update={"managed": changed}))
