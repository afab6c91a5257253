"""Evaluation: datasets through a server, from their files to what they come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from service.cli.eval.asked import Interview
from service.cli.eval.asker import Asker, RefusedError, Watch, collection_path
from service.cli.eval.bootstrap import Difference
from service.cli.eval.dataset import Dataset, Unknown
from service.cli.eval.errors import EvalError
from service.cli.eval.index_comparison import LEAST_CHUNKS, IndexResult, compare
from service.cli.eval.ingestion import Ingested, ingest
from service.cli.eval.options import Options
from service.cli.eval.searches import SearchTask
from service.cli.eval.serving import Serving
from service.cli.eval.way_result import WayResult, differences, measure_way

_NOT_COMPARED = {True: "it was not asked for", False: "only a server of one's own is restarted for it"}


class NotServedError(EvalError):
    """The server does not know what the evaluation is to ask of it."""


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """One dataset.

    Attributes:
        settings: as the server describes the collection.
        questions: that were asked, by kind.
        differences: of every way but the first, by its name, less the first.
        index: None where it was not compared, for the reason in ``index_reason``.
    """

    name: str
    folder: str
    documents: Ingested
    unknown: Unknown
    queries: int
    questions: dict[str, int]
    settings: dict[str, Any]
    ways: Sequence[WayResult]
    differences: dict[str, Sequence[Difference]]
    index: IndexResult | None = None
    index_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was measured."""

    collections: Sequence[CollectionResult]
    server: dict[str, Any]


def evaluate(
    serving: Serving, datasets: Mapping[str, Dataset], options: Options, watch: Watch, *, compare_index: bool
) -> Evaluation:
    """Ingest and measure every dataset.

    Args:
        datasets: by the name of their collection.
        compare_index: also compare IVF-PQ with exact search, which starts a server of one's own twice more.

    Raises:
        NotServedError, OtherDocumentsError, IngestionError, RefusedError, ServerStartError, httpx.TransportError: it
            cannot be measured.
    """
    with serving.opened({}) as http:
        asker = Asker(http, options.concurrency, watch)
        measured = [
            _measured(asker, name, dataset, options, is_own=serving.is_own) for name, dataset in datasets.items()
        ]
        server = _described(asker)
    if compare_index and serving.is_own:
        measured = _with_index(serving, measured, datasets, options, watch)
    return Evaluation(measured, server)


def _measured(asker: Asker, name: str, dataset: Dataset, options: Options, *, is_own: bool) -> CollectionResult:
    asker.put(collection_path(name), {})
    _probe(asker, name, options)
    documents = ingest(asker, dataset, name, keep=options.keep)
    ways = [measure_way(asker, dataset, name, way, options) for way in options.ways]
    asked = [question.kind for question in options.questions(dataset)] if options.llm is not None else []
    first, *others = ways
    return CollectionResult(
        name,
        str(dataset.folder),
        documents,
        dataset.unknown,
        len(options.judged(dataset)),
        {kind: asked.count(kind) for kind in ("answerable", "unanswerable", "foreign")},
        asker.get(collection_path(name)),
        ways,
        {way.way: differences(options.bootstrap, way.samples, first.samples) for way in others},
        index_reason=_NOT_COMPARED[is_own],
    )


def _probe(asker: Asker, name: str, options: Options) -> None:
    """Ask once in every way, so that what the server does not know is said before anything is measured."""
    for way in options.ways:
        try:
            for body in SearchTask(name, way, options.top_k).bodies("?"):
                asker.post("/v1/search", body)
        except RefusedError as error:
            raise NotServedError(f"--way {way.name}: {error}") from None
        try:
            if options.llm is not None and way.answers:
                Interview(asker, name, way, options.llm).ask("?")
        except RefusedError as error:
            raise NotServedError(f"--way {way.name} --llm {options.llm}: {error}") from None


def _described(asker: Asker) -> dict[str, Any]:
    """Version and models of the server, as far as the key may know them."""
    try:
        status = asker.get("/v1/status")
    except RefusedError as error:
        if error.status in {httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED}:
            return {}
        raise
    return {name: status[name] for name in ("version", "embedders", "reranker", "default_llm")}


def _with_index(
    serving: Serving,
    measured: Sequence[CollectionResult],
    datasets: Mapping[str, Dataset],
    options: Options,
    watch: Watch,
) -> list[CollectionResult]:
    chunks = {result.name: result.settings["chunks"] or 0 for result in measured}
    large = {name: dataset for name, dataset in datasets.items() if chunks[name] >= LEAST_CHUNKS}
    compared = compare(serving, large, options, watch) if large else {}
    return [
        replace(result, index=compared[result.name], index_reason=None)
        if result.name in compared
        else replace(result, index_reason=f"{chunks[result.name]} chunks are fewer than the {LEAST_CHUNKS} it takes")
        for result in measured
    ]
