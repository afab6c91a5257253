"""All measurements of the engine, one after the other, and their targets."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from service.cli.bench.embed.cancellation import Cancellation, cancel_half
from service.cli.bench.embed.interference import BusyThread, Ingest, beside_busy_thread, beside_ingest
from service.cli.bench.embed.over_http import OverHttp, over_http
from service.cli.bench.embed.parity import Parity, parity
from service.cli.bench.embed.rig import Rig, rig
from service.cli.bench.embed.saturation import Saturation, saturate
from service.cli.bench.embed.texts import BenchTexts
from service.cli.bench.machine import processor
from service.cli.bench.target import Target
from service.embedding_settings import EmbeddingSettings

# Texts of a round, repeated where there are fewer.
_SHORT, _LONG = 1536, 320
_PER_REQUEST = (1, 16)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What came of each measurement."""

    saturation: Sequence[Saturation]
    over_http: OverHttp
    beside_ingest: Ingest
    beside_busy_thread: BusyThread
    cancellation: Cancellation
    parity: Parity

    def targets(self) -> list[Target]:
        """What was to be reached, and whether it was."""
        http, ingest = self.over_http, self.beside_ingest
        return [
            *map(_throughput, self.saturation),
            Target("added_p50_ms", http.added_p50_ms, 2.0, True),
            Target("idle_cpu", http.idle_cpu, 0.02, True),
            Target("query_p99_beside_ingest_ms", ingest.loaded_ms.p99, ingest.limit_ms, True),
            Target("ingest_kept", ingest.kept, 0.8, False),
            Target("busy_thread_p50_ratio", self.beside_busy_thread.p50_ratio, 4.0, True),
            Target("cancelled_saved", self.cancellation.saved, 0.99, False),
            Target("lowest_cosine", self.parity.lowest, 0.999, False),
        ]


async def run(
    settings: EmbeddingSettings, config: Path | None, texts: BenchTexts, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure everything once.

    Args:
        config: the file that the settings came from, for a server of the same model.
        say: where progress goes.
    """
    async with rig(settings) as it:
        measured = await _measured(it, settings, config, texts, say)
        model, engine = asdict(it.info), it.engine.describe()
    return {
        "bench": "embed",
        "targets": [asdict(target) | {"met": target.is_met} for target in measured.targets()],
        **asdict(measured),
        "model": {name: model[name] for name in ("name", "dtype", "dtype_reason", "device", "dimension")},
        "engine": engine,
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("quarry", "torch", "transformers", "sentence-transformers")},
    }


async def _measured(
    it: Rig, settings: EmbeddingSettings, config: Path | None, texts: BenchTexts, say: Callable[[str], None]
) -> _Measured:
    saturations = await _saturations(it, texts, say)
    say("one caller over HTTP")
    http = await over_http(it, texts.short, config)
    say("queries beside an ingest")
    capacity = next(each for each in saturations if each.per_request == 1).engine_texts_per_s
    ingest = await beside_ingest(it, texts.short, texts.long, capacity)
    say("queries beside a busy thread")
    busy = await beside_busy_thread(it, texts.short)
    say("cancelling half of a queue")
    cancelled = await cancel_half(it, texts.long[:400])
    say("cosine to SentenceTransformer.encode")
    return _Measured(saturations, http, ingest, busy, cancelled, await parity(it, settings.model, texts.long))


async def _saturations(it: Rig, texts: BenchTexts, say: Callable[[str], None]) -> list[Saturation]:
    measured = []
    for kind, some in (("short", _repeated(texts.short, _SHORT)), ("long", _repeated(texts.long, _LONG))):
        for per_request in _PER_REQUEST:
            say(f"saturation: {kind} texts, {per_request} per request")
            measured.append(await saturate(it, kind, some, per_request))
    return measured


def _repeated(texts: Sequence[str], count: int) -> list[str]:
    return list(islice(cycle(texts), count))


def _throughput(saturation: Saturation) -> Target:
    """Short texts may lose more: each costs Python as much as a long one."""
    least = 0.95 if saturation.texts == "long" else 0.85
    return Target(f"{saturation.texts}_{saturation.per_request}_over_bare", saturation.ratio, least, is_most=False)
