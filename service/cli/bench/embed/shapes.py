"""Throughput of the engine for encoders of well-known shapes, beside the bare model and the device's peak."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.base import Embedder, TextKind
from models.peak import matmul_flops
from models.synthetic import BertShape, write_random_model
from service.cli.bench.embed.rig import Rig, rig
from service.cli.bench.embed.saturation import Saturation, saturate
from service.cli.bench.embed.texts import BenchTexts
from service.embedding_settings import EmbeddingSettings

_PER_REQUEST = 16


@dataclass(frozen=True, slots=True)
class ShapeResult:
    """One shape with one kind of text.

    Attributes:
        tokens_per_s: true tokens through the engine.
        over_bare: engine over the bare forward.
        of_peak: arithmetic done, as a share of the rate of one large matrix product in the same precision.
    """

    shape: str
    texts: str
    device: str
    dtype: str
    forward: str
    mean_tokens: float
    tokens_per_s: float
    over_bare: float
    of_peak: float
    padding_waste: float


async def measure_shapes(
    shapes: Sequence[BertShape], settings: EmbeddingSettings, texts: BenchTexts, say: Callable[[str], None]
) -> list[ShapeResult]:
    """Each shape with random weights, short texts and long ones."""
    results = []
    for shape in shapes:
        with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder:
            say(f"{shape.name}: making random weights")
            model = str(write_random_model(shape, Path(folder)))
            async with rig(settings.model_copy(update={"model": model, "also": ()})) as it:
                for kind, some in (("short", texts.short), ("long", texts.long)):
                    say(f"{shape.name}: {kind} texts")
                    saturation = await saturate(it, kind, some, _PER_REQUEST)
                    results.append(await _result(it, shape, saturation, some))
    return results


def as_markdown(results: Sequence[ShapeResult]) -> str:
    """A table of the results."""
    head = "| shape | texts | precision, forward | tokens/s | of the bare forward | of the matmul peak | padding |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for each in results:
        lines.append(
            f"| {each.shape} | {each.texts}, {each.mean_tokens:.0f} tokens | {each.dtype}, {each.forward} "
            f"| {each.tokens_per_s:,.0f} | {each.over_bare:.0%} | {each.of_peak:.0%} | {each.padding_waste:.1%} |"
        )
    return "\n".join(lines) + "\n"


async def _result(it: Rig, shape: BertShape, saturation: Saturation, texts: Sequence[str]) -> ShapeResult:
    lengths = [len(ids) for ids in it.embedder.tokenize(texts, TextKind.DOCUMENT)]
    mean = sum(lengths) / len(lengths)
    tokens_per_s = saturation.engine_texts_per_s * mean
    arithmetic = tokens_per_s * sum(shape.flops_per_token(n) * n for n in lengths) / sum(lengths)
    return ShapeResult(
        shape=shape.name,
        texts=saturation.texts,
        device=it.info.device,
        dtype=it.info.dtype,
        forward=it.info.forward,
        mean_tokens=round(mean, 1),
        tokens_per_s=round(tokens_per_s),
        over_bare=saturation.ratio,
        of_peak=round(arithmetic / await _peak(it), 4),
        padding_waste=saturation.padding_waste,
    )


async def _peak(it: Rig) -> float:
    """On the device thread, as every call of torch."""
    rates: list[float] = []

    def measure(_: Embedder) -> None:
        rates.append(matmul_flops(it.info.device, it.info.dtype))

    await it.bare(measure)
    return rates[0]


def as_json(results: Sequence[ShapeResult]) -> list[dict[str, object]]:
    """The results as JSON has them."""
    return [asdict(each) for each in results]
