"""LanguageModel: what vLLM's weights and cache take for one model, as far as its files say."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from service.capacity.amount import Amount
from service.capacity.architecture import Architecture
from service.capacity.checkpoint import Checkpoint
from service.capacity.errors import CapacityError, ModelConfigError, PlacementError
from service.capacity.kv_cache import KV_WIDTHS, KvCache
from service.capacity.model_config import FILE_NAME, ModelConfig
from service.capacity.quantization import FP8, Quantization
from service.capacity.weight import Weight

DTYPES = ("auto", "bfloat16", "float16", "float32")
KV_DTYPES = ("auto", *KV_WIDTHS)
_WIDTHS = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """One model, and how it is to be computed.

    Attributes:
        path: folder, or config.json.
        width: bytes of a number that is not quantised.
        is_quantized: the files are.
        quantization: of the files, where the weights are counted; or made by vLLM while it loads.
        checkpoint: sums over the files; None where there are none.
        given_bytes: of the weights, as somebody said.
    """

    name: str
    path: Path
    architecture: Architecture
    width: int
    is_quantized: bool = False
    quantization: Quantization | None = None
    checkpoint: Checkpoint | None = None
    given_bytes: int | None = None

    @classmethod
    def read(cls, path: Path, dtype: str = "auto", given_bytes: int | None = None) -> "LanguageModel":
        """Of a folder with config.json and perhaps safetensors, or of a config.json alone.

        Args:
            dtype: one of ``DTYPES``.
            given_bytes: of the weights, in place of what the files say.

        Raises:
            ModelConfigError: a file cannot be read, or lacks a field.
            UnknownArchitectureError: nothing says what the weights take.
        """
        config = ModelConfig.read(path)
        text = config.section("text_config") or config
        tied = text.flag("tie_word_embeddings", False)
        checkpoint = Checkpoint.of(path, tied) if path.is_dir() else None
        is_counted = checkpoint is None and given_bytes is None
        return cls(
            name=_name(path.resolve()),
            path=path,
            architecture=Architecture.of(config) if is_counted else Architecture.of_cache(config),
            width=_width(text, dtype),
            quantization=Quantization.of(config) if is_counted else None,
            is_quantized=config.has("quantization_config") or config.has("compression_config"),
            checkpoint=checkpoint,
            given_bytes=given_bytes,
        )

    @property
    def parameters(self) -> int | None:
        """Numbers in the model; None where no formula counts them."""
        return self.architecture.parameters or None

    @property
    def folder(self) -> Path:
        """What ``vllm serve`` is given: where a file lies, whatever its name."""
        return self.path if self.path.is_dir() else self.path.parent

    def in_float8(self) -> "LanguageModel | None":
        """As vLLM's ``--quantization fp8`` loads it; None where it is quantised already or nothing is known of it."""
        if self.is_quantized or self.quantization or not self.architecture.weights:
            return None
        return replace(self, quantization=FP8, checkpoint=None)

    def weights(self, cards: int) -> Amount:
        """Of one of so many cards."""
        if self.given_bytes is not None:
            return Amount(ceil(self.given_bytes / cards), False, f"as given{_shared(cards)}")
        counted = self._counted(cards)
        if self.checkpoint is None:
            method = self.quantization.method if self.quantization else f"{self.width} bytes each"
            said = f"{self.architecture.parameters:,} parameters, {method}"
            return Amount(
                counted, self.quantization is None, said if cards == 1 else f"{said}, shared by {cards} cards"
            )
        loaded = self.checkpoint.loaded_bytes(self.width, self.is_quantized)
        if cards == 1:
            return Amount(loaded, True, "the tensors of the safetensors files")
        whole = self._counted(1)
        share = ceil(loaded * counted / whole) if whole else ceil(loaded / cards)
        return Amount(share, False, f"the tensors of the safetensors files{_shared(cards)}")

    def kv_cache(self, kv_dtype: str, cards: int, batched_tokens: int) -> KvCache:
        """Of one of so many cards.

        Raises:
            CapacityError: a dtype that is not one of ``KV_DTYPES``.
        """
        if kv_dtype not in KV_DTYPES:
            raise CapacityError(f"the KV cache's dtype is {kv_dtype!r}: known are {', '.join(KV_DTYPES)}")
        return KvCache.of(self.architecture, KV_WIDTHS.get(kv_dtype, self.width), cards, batched_tokens)

    def check_cards(self, cards: int) -> None:
        """Tensor parallelism gives every card as many heads.

        Raises:
            PlacementError: it does not come out even.
        """
        attention = self.architecture.attention
        even = attention.heads % cards == 0
        kv_even = attention.is_latent or attention.kv_heads % cards == 0 or cards % attention.kv_heads == 0
        if not (even and kv_even):
            raise PlacementError(
                f"{self.name} has {attention.heads} heads and {attention.kv_heads} for keys and values: "
                f"{cards} cards cannot share them evenly"
            )

    def _counted(self, cards: int) -> int:
        kv_heads = self.architecture.attention.kv_heads
        weights = self.architecture.weights
        return ceil(sum(self._bytes(weight) * weight.share(cards, kv_heads) for weight in weights))

    def _bytes(self, weight: Weight) -> int:
        return self.quantization.bytes(weight, self.width) if self.quantization else weight.parameters * self.width


def _shared(cards: int) -> str:
    return f", shared by {cards} cards" if cards > 1 else ""


def _name(path: Path) -> str:
    """Of the folder, or of the file where it says more than config.json."""
    if path.is_dir():
        return path.name
    return path.parent.name if path.name == FILE_NAME else path.stem


def _width(config: ModelConfig, dtype: str) -> int:
    """VLLM's ``auto`` computes float32 models in half precision."""
    if dtype not in DTYPES:
        raise CapacityError(f"dtype is {dtype!r}: known are {', '.join(DTYPES)}")
    if dtype != "auto":
        return _WIDTHS[dtype]
    declared = config.text("dtype", config.text("torch_dtype", "bfloat16")).removeprefix("torch.")
    if declared not in _WIDTHS:
        raise ModelConfigError(f"{config.source}: dtype is {declared!r}: known are {', '.join(_WIDTHS)}")
    return min(2, _WIDTHS[declared])
