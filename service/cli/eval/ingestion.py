"""Ingestion: the documents of a dataset into a collection of a server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from service.cli.eval.asker import Asker, collection_path
from service.cli.eval.dataset import Dataset, Source, sources
from service.cli.eval.errors import EvalError
from service.cli.sources import Line, in_batches
from service.cli.upload import Uploader

_PAGE = 1000
_SHOWN = 3


class OtherDocumentsError(EvalError):
    """The collection holds documents that are not of the dataset."""


class IngestionError(EvalError):
    """Documents were not taken; the message has the first of them."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """Documents by what became of them, the empty ones among them, and those that were there before."""

    outcomes: dict[str, int]
    empty: int
    others: int


def ingest(asker: Asker, dataset: Dataset, collection: str, *, keep: bool) -> Ingested:
    """Put every document into the collection, which is there.

    Args:
        keep: evaluate in a collection that holds other documents too.

    Raises:
        OtherDocumentsError: it does, and they were not to be kept.
        IngestionError: a document failed.
        RefusedError: the server does not say what it holds.
    """
    others = _others(asker, dataset, collection)
    if others and not keep:
        raise OtherDocumentsError(
            f"the collection {collection!r} holds {others} documents that {dataset.folder} does not have, so what is "
            f"measured would not be of it; take another --collection, or --keep them"
        )
    uploader = Uploader(asker.http, collection)
    batches = in_batches(dataset.folder / "corpus.jsonl", _lines(sources(dataset.folder)))
    asker.each(f"{collection}: batches of documents", uploader.send, batches)
    tally = uploader.tally
    if tally.failures:
        said = "; ".join(tally.failures[:_SHOWN])
        raise IngestionError(f"{len(tally.failures)} documents failed: {said}")
    return Ingested(dict(sorted(tally.outcomes.items())), len(tally.empty), others)


def _others(asker: Asker, dataset: Dataset, collection: str) -> int:
    """Documents of the collection that the dataset does not have."""
    return sum(document not in dataset.document_ids for document in _held(asker, collection))


def _held(asker: Asker, collection: str) -> Iterator[str]:
    params: dict[str, object] = {"limit": _PAGE}
    while True:
        page = asker.get(f"{collection_path(collection)}/documents", params)
        yield from (entry["id"] for entry in page["data"])
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]


def _lines(found: Iterable[Source]) -> Iterator[Line]:
    for source in found:
        document = {"id": source.id, "title": source.title, "text": source.text}
        yield Line(source.number, orjson.dumps(document))
