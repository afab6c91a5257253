"""Library: the catalogue as this process can serve it, with its embedders and its chunking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from indexes.backup import back_up
from indexes.backup_manifest import BackupManifest
from indexes.base import Metric
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import CollectionConflictError
from indexes.languages import Language
from indexes.reembeddings import Route
from indexes.spec import DEFAULT_LANGUAGE, DEFAULT_METRIC, DEFAULT_TARGET_RECALL, CollectionSpec
from models.base import EmbedderInfo
from service.errors import InvalidRequestError
from service.ingest.chunking import largest_chunk
from service.preferred import LLM, MIN_CONFIDENCE
from service.queried_library import QueriedLibrary, read_where_it_leads
from service.settings import ChunkingSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """What a caller asks of a collection; None takes the default."""

    embedding_model: str | None = None
    chunk_size: int | None = None
    chunk_overlap: int | None = None
    metric: Metric | None = None
    target_recall: float | None = None
    language: Language | None = None


class Library(QueriedLibrary):
    """Collections by name, to be changed as well.

    Args:
        embedders: the first one makes the vectors of collections that name none.
        target_recall: of new collections that name none.
        language: likewise.
    """

    def __init__(
        self,
        catalog: Catalog,
        embedders: Sequence[EmbedderInfo],
        chunking: ChunkingSettings,
        target_recall: float = DEFAULT_TARGET_RECALL,
        language: str = DEFAULT_LANGUAGE,
    ) -> None:
        super().__init__(catalog, embedders)
        self._catalog = catalog
        self._default = embedders[0]
        self._chunking = chunking
        self._target_recall = target_recall
        self._language = language

    def set_alias(self, name: str, collection: str) -> bool:
        """As ``Catalog.set_alias``."""
        return self._catalog.set_alias(name, collection)

    def remove_alias(self, name: str) -> None:
        """As ``Catalog.remove_alias``."""
        self._catalog.remove_alias(name)

    def route(self, name: str) -> Route:
        """Where a name leads now, a mirror included; as ``Catalog.route``."""
        return self._catalog.route(name)

    def find(self, name: str) -> Collection:
        """The collection, whatever embedder made its vectors: enough to read and to delete documents.

        Raises:
            CollectionNotFoundError: there is none.
        """
        return self._catalog.get(name)

    def read(self, name: str, reading: Callable[[Route], T]) -> T:
        """As ``QueriedLibrary.read``."""
        return read_where_it_leads(self.route, name, reading)

    def get(self, name: str) -> Collection:
        """The collection, if a served embedder made its vectors: to search it and to write to it.

        Raises:
            CollectionNotFoundError: there is none.
            CollectionConflictError: another embedder made them.
        """
        collection = self.find(name)
        self._check_served(name, collection.spec)
        return collection

    def ensure(self, name: str, options: CollectionOptions) -> tuple[Collection, bool]:
        """The collection of that name, created with ``options`` if there is none, and whether it was created.

        Of a collection that exists, only what the options name is compared.

        Raises:
            InvalidNameError, CollectionConflictError: see ``Catalog.ensure``.
            InvalidRequestError: a model that is not served, a size that the embedder cannot read, or an overlap that is
                no smaller than the size.
        """
        if name not in self._catalog:
            return self._catalog.ensure(name, self._spec(options, self._chunking.size, self._chunking.overlap))
        collection = self.get(name)
        _check_same(name, collection.spec, options)
        return collection, False

    def prefer_llm(self, name: str, llm: str | None) -> None:
        """Change it, durably; None takes it back.

        Raises:
            CollectionNotFoundError: there is none of that name.
        """
        self._catalog.prefer(name, LLM, llm)

    def prefer_min_confidence(self, name: str, value: float | None) -> None:
        """As ``prefer_llm``.

        Raises:
            CollectionNotFoundError: there is none of that name.
        """
        self._catalog.prefer(name, MIN_CONFIDENCE, None if value is None else repr(value))

    def drop(self, name: str) -> None:
        """Delete a collection and its files.

        Raises:
            CollectionNotFoundError: there is none.
            CollectionConflictError: an alias names it.
        """
        self._catalog.drop(name)

    def back_up(self, folder: Path, *, skip_damaged: bool) -> BackupManifest:
        """Copy every collection to a new folder while they serve.

        Raises:
            BackupError: see ``indexes.backup.back_up``.
        """
        return back_up(self._catalog, folder, skip_damaged=skip_damaged)

    def reembedded(self, name: str, options: CollectionOptions) -> CollectionSpec:
        """What the collection becomes with ``options``; what they leave out stays, as far as the embedder reads it.

        Raises:
            CollectionNotFoundError: there is none.
            CollectionConflictError: an embedder that is not served made its vectors, so writes cannot go to both.
            InvalidRequestError: as ``ensure``.
        """
        now = self.get(name).spec
        model = options.embedding_model or now.embedding_model
        made = self._spec(replace(options, embedding_model=model), now.chunk_size, now.chunk_overlap)
        if options.chunk_overlap is None and made.chunk_size == now.chunk_size:
            made = replace(made, chunk_overlap=now.chunk_overlap)
        changed = ("embedding_model", "fingerprint", "dimension", "chunk_size", "chunk_overlap")
        return replace(now, **{field: getattr(made, field) for field in changed})

    def _spec(self, options: CollectionOptions, default_size: int, default_overlap: int) -> CollectionSpec:
        model = options.embedding_model or self._default.name
        embedder = self._embedders.get(model)
        if embedder is None:
            names = ", ".join(map(repr, self._embedders))
            raise InvalidRequestError(
                f"embedding_model {model!r} is not served here; there are {names}, and embedding.also names more",
                param="embedding_model",
            )
        largest = largest_chunk(embedder.max_tokens)
        size = options.chunk_size if options.chunk_size is not None else min(default_size, largest)
        if size > largest:
            raise InvalidRequestError(
                f"chunking.size {size}: {model!r} reads {largest} tokens at most", param="chunking"
            )
        overlap = options.chunk_overlap if options.chunk_overlap is not None else min(default_overlap, size // 2)
        if overlap >= size:
            raise InvalidRequestError(f"chunking.overlap {overlap} must be smaller than size {size}", param="chunking")
        return CollectionSpec(
            embedding_model=model,
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
            chunk_size=size,
            chunk_overlap=overlap,
            metric=options.metric or DEFAULT_METRIC,
            target_recall=self._target_recall if options.target_recall is None else options.target_recall,
            language=options.language or self._language,
        )


def _check_same(name: str, spec: CollectionSpec, asked: CollectionOptions) -> None:
    pairs = {
        "embedding_model": (spec.embedding_model, asked.embedding_model),
        "chunking.size": (spec.chunk_size, asked.chunk_size),
        "chunking.overlap": (spec.chunk_overlap, asked.chunk_overlap),
        "metric": (spec.metric, asked.metric),
        "target_recall": (spec.target_recall, asked.target_recall),
        "language": (spec.language, asked.language),
    }
    differing = [f"{field} is {is_!r}, not {want!r}" for field, (is_, want) in pairs.items() if want not in {None, is_}]
    if differing:
        raise CollectionConflictError(f"collection {name!r} exists with another identity: {', '.join(differing)}")
