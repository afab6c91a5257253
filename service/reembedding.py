"""Reembedder: gives a live collection another embedding model or chunking, and takes it back."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

from indexes.collection import Collection
from indexes.errors import CollectionConflictError, CollectionNotFoundError, StoreUnavailableError
from indexes.reembeddings import Route, State
from indexes.spec import CollectionSpec
from service.ingest.comparison import Comparison, Progress
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.mirror import Mirror, Miss, MovedError
from service.library import CollectionOptions, Library

_log = logging.getLogger("quarry.reembedding")

T = TypeVar("T")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class ReembeddingState:
    """A reembedding as an operator sees it.

    Attributes:
        target: identity of the form that was made later; None where its files are damaged.
        done: documents that the present or last comparison found in the mirror or put there.
        total: documents that it goes through, never fewer than ``done``.
        error: why the mirror lacks something; None where nothing failed.
    """

    state: State
    target: CollectionSpec | None
    done: int
    total: int
    error: str | None


class Reembedder:
    """Brings mirrors up to their primaries and moves names; an async context manager that the lifespan owns.

    A collection with a mirror is tended by one task: it compares the two until nothing is missing, moves the name if
    that is wanted, and ends. What fails is tried again, after ever longer pauses.

    Args:
        on_write: called with a mirror after every change of it.
    """

    def __init__(
        self, library: Library, mirror: Mirror, documents: DocumentEmbedder, on_write: Callable[[Collection], None]
    ) -> None:
        self._library = library
        self._mirror = mirror
        self._documents = documents
        self._on_write = on_write
        self._acting = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._comparisons: dict[str, Comparison] = {}
        self._progress: dict[str, Progress] = {}
        self._errors: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="quarry-reembedding")

    async def __aenter__(self) -> Self:
        """Take up what the last process left: after a crash a mirror may lack what the primary has."""
        for name in self._library.names():
            with suppress(StoreUnavailableError):  # damaged; its mirror waits for the repair
                route = self._library.route(name)
                if route.mirror:
                    self._mirror.distrust(route.mirror)
                    await self._tend(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._tasks):
            await self._leave(name)
        self._threads.shutdown()

    async def start(self, name: str, options: CollectionOptions) -> None:
        """Begin to build another form of a collection, which takes its name over when it is complete.

        After a rollback the name moves forward again, when the options are those of that form, or none.

        Raises:
            CollectionNotFoundError, InvalidRequestError: see ``Library.reembedded``.
            CollectionConflictError: also when it is being re-embedded, or would stay as it is.
        """
        async with self._acting:
            route, spec = self._library.route(name), self._library.reembedded(name, options)
            link = route.reembedding
            if link is None:
                if spec == route.primary.spec:
                    raise CollectionConflictError(f"collection {route.name!r} is already as asked: {_said(spec)}")
                await self._in_thread(partial(self._mirror.link, route.name, spec))
            elif link.state == "rolled_back" and link.mirror and _is_again(link.mirror.spec, spec, options):
                await self._in_thread(partial(self._mirror.mark, route.name, "building"))
            else:
                raise CollectionConflictError(
                    f"collection {route.name!r} is being re-embedded already, and is {link.state}: "
                    "let it end and finish it, or roll it back"
                )
            await self._tend(route.name)

    async def roll_back(self, name: str) -> None:
        """Give the name back to the form that had it, at once unless that has missed a write; before a switch give up.

        Raises:
            CollectionNotFoundError: there is none of that name.
            CollectionConflictError: it is not being re-embedded.
            StoreUnavailableError: the files of the other form are damaged.
        """
        async with self._acting:
            while True:
                await self._leave(self._library.route(name).name)
                route = self._library.route(name)
                if route.reembedding is None:
                    raise _not_linked(route)
                if route.reembedding.state != "building":
                    return await self._return(route)
                with suppress(MovedError):  # it was switched at this very moment
                    return await self._in_thread(partial(self._mirror.unlink, route))

    async def finish(self, name: str) -> None:
        """Delete the form that does not have the name.

        Raises:
            CollectionNotFoundError: there is none of that name.
            CollectionConflictError: it is not being re-embedded, or the name is still to move.
        """
        async with self._acting:
            route = self._library.route(name)
            if route.reembedding is None:
                raise _not_linked(route)
            if route.reembedding.is_moving:
                state = route.reembedding.state
                raise CollectionConflictError(f"collection {route.name!r} is {state}: the name has not moved yet")
            await self._leave(route.name)
            await self._in_thread(partial(self._mirror.unlink, route))

    def describe(self, route: Route) -> ReembeddingState | None:
        """State of a collection's reembedding; None where there is none."""
        link = route.reembedding
        if link is None:
            return None
        progress = self._progress.get(route.name, Progress())
        miss = self._mirror.missed(link.mirror) if link.mirror else None
        error = link.damage or self._errors.get(route.name) or (miss.reason if miss else "")
        target = route.target.spec if route.target else None
        return ReembeddingState(link.state, target, progress.done, progress.total, error or None)

    async def _return(self, route: Route) -> None:
        """Move the name back now, or when what the mirror has missed is made up for."""
        is_back = False
        try:
            if route.reembedding and route.reembedding.state == "switched":
                await self._in_thread(partial(self._mirror.mark, route.name, "rolling_back"))
            is_back = await self._in_thread(partial(self._mirror.move, route.name))
        finally:
            if not is_back:
                await self._tend(route.name)

    async def _leave(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tend(self, name: str) -> None:
        await self._leave(name)
        self._tasks[name] = asyncio.create_task(self._tended(name), name=f"reembedding {name}")

    async def _tended(self, name: str) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await self._brought_up(name)
            except CollectionNotFoundError:  # dropped meanwhile
                return
            except Exception as error:  # a loop edge: whatever one document meets, the others are still to be copied
                _log.warning("reembedding %s failed", name, exc_info=error)
                self._errors[name] = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                return

    async def _brought_up(self, name: str) -> None:
        """Compare until nothing is missing, then move the name if it is to move."""
        moved = False
        while not moved:
            route = self._mirror.route(name)
            if route.mirror is None:
                return
            miss = self._mirror.missed(route.mirror)
            if miss:
                walk = self._comparison(route, miss)
                await walk.run()
                del self._comparisons[name]
                self._errors.pop(name, None)
                await self._in_thread(partial(self._mirror.compared, route.mirror, walk.miss))
            else:
                moved = await self._in_thread(partial(self._mirror.move, name))
        _log.info("collection %s has all of its documents in both forms", name)

    def _comparison(self, route: Route, miss: Miss) -> Comparison:
        """The walk that an error ended, or a new one."""
        walk = self._comparisons.get(route.name)
        if walk is None or walk.route.collections != route.collections:
            walk = Comparison(route, miss, self._mirror, self._documents, self._threads, self._on_write)
            self._comparisons[route.name], self._progress[route.name] = walk, walk.progress
        return walk

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _is_again(mirror: CollectionSpec, asked: CollectionSpec, options: CollectionOptions) -> bool:
    """Whether a start after a rollback asks for the form that is there."""
    return asked == mirror or options == CollectionOptions()


def _not_linked(route: Route) -> CollectionConflictError:
    return CollectionConflictError(f"collection {route.name!r} is not being re-embedded")


def _said(spec: CollectionSpec) -> str:
    return f"embedding_model {spec.embedding_model!r}, chunking.size {spec.chunk_size}, overlap {spec.chunk_overlap}"
