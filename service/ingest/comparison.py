"""Comparison: a walk over a collection and its mirror that ends with the mirror having what the collection has."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from indexes.collection import Collection
from indexes.reembeddings import Route
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.mirror import Mirror, Miss, stored

T = TypeVar("T")

_PAGE = 64
# Documents on their way at a time: enough for full batches, few beside those of callers.
_CONCURRENT = 8
_CALLER = "reembedding"


@dataclass(slots=True)
class Progress:
    """``done`` of ``total`` documents are in the mirror for sure; what is written meanwhile moves the total."""

    done: int = 0
    total: int = 0

    def expect(self, documents: int) -> None:
        """There are so many now, of which some may be done."""
        self.total = max(documents, self.done)

    def add(self, documents: int) -> None:
        """So many more are done."""
        self.done += documents
        self.expect(self.total)

    def end(self) -> None:
        """There were no more."""
        self.total = self.done


@dataclass(slots=True)
class Comparison:
    """One walk, in the order of ids; ``run`` goes on where an error ended it.

    What is written meanwhile reaches the mirror by itself, so one walk is enough.

    Attributes:
        route: the collection and its mirror.
        miss: the last miss of the mirror when the walk began.
        on_write: called with the mirror after every change of it.
    """

    route: Route
    miss: Miss
    mirror: Mirror
    documents: DocumentEmbedder
    threads: Executor
    on_write: Callable[[Collection], None]
    progress: Progress = field(default_factory=Progress, init=False)
    _copied_to: str | None = field(default="", init=False)
    _cleared_to: str | None = field(default="", init=False)

    async def run(self) -> None:
        """Copy what differs, then delete what the collection has not.

        Raises:
            QuarryError, IndexesError: a document could not be read, embedded or written.
        """
        self.progress.expect((await self._in_thread(self.route.primary.describe)).documents)
        while self._copied_to is not None:
            page, last = await self._in_thread(partial(_page, self.route.primary, self._copied_to))
            differing = await self._in_thread(partial(self._differing, page))
            for first in range(0, len(differing), _CONCURRENT):
                await self._copied(differing[first : first + _CONCURRENT])
            self.progress.add(len(page))
            self._copied_to = last
        self.progress.end()
        while self._cleared_to is not None:
            page, last = await self._in_thread(partial(_page, self._shadow, self._cleared_to))
            await self._in_thread(partial(self._clear, page))
            self._cleared_to = last

    @property
    def _shadow(self) -> Collection:
        assert self.route.mirror is not None  # noqa: S101  only a collection that has one is compared
        return self.route.mirror

    def _differing(self, page: list[str]) -> list[str]:
        """Those of ``page`` that the mirror has not, or not with this content."""
        return [document_id for document_id in page if not self._is_same(document_id)]

    def _is_same(self, document_id: str) -> bool:
        wanted, there = stored(self.route.primary, document_id), stored(self._shadow, document_id)
        return wanted is None or (there is not None and there.content_hash == wanted.content_hash)

    async def _copied(self, ids: list[str]) -> None:
        results = await asyncio.gather(*map(self._copy, ids), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _copy(self, document_id: str) -> None:
        seq, document = await self._in_thread(partial(self.mirror.take, self.route, document_id))
        if document is None:
            return  # deleted meanwhile, in the mirror too
        content = await self.documents.content(document, self._shadow.spec, _CALLER)
        put = partial(self._shadow.put, document, content.chunks, content.vectors, seq, sentences=content.sentences)
        await self._in_thread(put)
        self.on_write(self._shadow)

    def _clear(self, page: list[str]) -> None:
        for document_id in page:
            if stored(self.route.primary, document_id) is None:
                self.mirror.clear(self.route, document_id)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)


def _page(collection: Collection, after: str) -> tuple[list[str], str | None]:
    """The next ids above ``after``, and the last of them; None where there are no more."""
    ids = [document_id for document_id, *_ in collection.documents(after, _PAGE)]
    return ids, ids[-1] if ids else None
