"""Mirror: the one place where a write to a collection that is being re-embedded reaches both of its forms."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from indexes.base import Document
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import CollectionNotFoundError, DocumentNotFoundError, IndexesError
from indexes.filters import Filter
from indexes.reembeddings import Route, State
from indexes.spec import CollectionSpec
from indexes.store import Change
from service.ingest.document_embedder import Content
from service.ingest.gate import Gate
from service.ingest.place import Place

_log = logging.getLogger("quarry.mirror")

T = TypeVar("T")
Contents = Mapping[Collection, Content | Exception]


class MovedError(Exception):
    """The name leads elsewhere by now, or has got or lost a mirror: the write is to be prepared for what it is now."""


class Miss:
    """What a mirror has missed, the last of it for ``reason``; empty where nothing is known but that it may have."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason


class Mirror:
    """Commits writes on the calling thread, and changes where names lead between two of them.

    The primary has the name and is the truth. A write is committed there and then, still inside the gate, in the
    mirror, so the name only moves when no write is half done. Whoever writes to the mirror, a writer or the copying
    task, takes a number in the mirror's order *before* it reads what the primary has: a commit that this reading
    misses is followed by a write with a higher number, and of two writes to the mirror the higher number wins.

    A mirror that could not be written to has missed something. The write stands all the same, and the name does not
    move before the mirror has been compared with the primary.

    Attributes:
        on_move: called, on the thread that moves it, with a name under which all places have new numbers.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.on_move: Callable[[str], None] = lambda _: None
        self._catalog = catalog
        self._gate = Gate()
        self._missed: WeakKeyDictionary[Collection, Miss] = WeakKeyDictionary()
        self._places: WeakSet[Place] = WeakSet()
        self._placing = threading.Lock()
        self._tickets = itertools.count()
        self._is_moving = False

    def route(self, name: str) -> Route:
        """Where a write to ``name`` goes now; see ``Catalog.route``."""
        return self._catalog.route(name)

    def accept(self, name: str) -> Place:
        """A place in the order of writes to a collection; it outlives a move of the name, and so does the order."""
        with self._placing:
            place = Place(name, next(self._tickets))
            if not self._is_moving:
                place.take(self._catalog.route(name).primary)
            self._places.add(place)
        return place

    def hold_back(self, name: str, identity: str, seq: int) -> None:
        """Let no other write have this number, which belongs to one that was accepted before a restart.

        Args:
            identity: of the collection in whose order ``seq`` is.

        Raises:
            CollectionNotFoundError, StoreUnavailableError: as ``route``.
        """
        for collection in self._catalog.route(name).collections:
            if collection.identity == identity:
                collection.go_on_above(seq)

    def accept_again(self, name: str, identity: str, seq: int) -> Place:
        """The place of a write that was accepted before a restart, whose number is held back; older writes first.

        Returns:
            A place in no order, where that collection is no more.

        Raises:
            StoreUnavailableError: as ``route``.
        """
        place = Place(name, next(self._tickets))
        with suppress(CollectionNotFoundError):
            route = self._catalog.route(name)
            for collection in route.collections:
                if collection.identity == identity:
                    place.keep(collection, seq)
            if place.collection not in {None, route.primary}:  # the name moved, and nobody had the time to note it
                place.take(route.primary)
            if place.collection is not None:
                self._places.add(place)
        return place

    def is_overtaken(self, route: Route, document_id: str, metadata: Mapping[str, Any], place: Place) -> bool:
        """Whether a write at ``place`` would change nothing, as one that was accepted after it has been applied."""
        return place.is_overtaken(route, document_id, metadata)

    def confirm(self, route: Route, document: Document, place: Place) -> bool:
        """Whether the primary has this content already; it then counts as written at ``place``.

        Raises:
            MovedError: the route is out of date.
            CollectionNotFoundError: the collection was deleted since the write was accepted, as in all that follow.
        """

        def commit() -> bool:
            seq = place.in_order_of(route.primary)
            if place.was_overtaken(route, document.id, document.metadata):
                return False
            return route.primary.confirm(document.id, document.content_hash, seq, document.source_hash)

        return self._inside(route, commit)

    def confirm_source(self, route: Route, document_id: str, source_hash: bytes, place: Place) -> bool:
        """Whether the primary has what was made of this very file; it then counts as written at ``place``.

        Raises:
            MovedError: as ``confirm``.
        """

        def commit() -> bool:
            return route.primary.confirm_source(document_id, source_hash, place.in_order_of(route.primary))

        return self._inside(route, commit)

    def put(
        self, route: Route, document: Document, contents: Contents, place: Place, guard: Filter | None = None
    ) -> Change:
        """Insert or replace a document in the primary, and then in the mirror.

        Args:
            contents: for each collection of the route; for the mirror it may be why there is none.
            guard: see ``Collection.put``.

        Raises:
            MovedError: the route is out of date; nothing was written.
        """

        def commit() -> Change:
            seq = place.in_order_of(route.primary)
            if place.was_overtaken(route, document.id, document.metadata):
                return Change("superseded", route.primary.version)
            change = _put(route.primary, document, contents[route.primary], seq, guard)
            self._follow(route, document.id, partial(_copy, route.primary, document, contents))
            return change

        return self._inside(route, commit)

    def delete(self, route: Route, document_id: str, place: Place, guard: Filter | None = None) -> Change:
        """Delete a document that passes ``guard`` in the primary, and then in the mirror.

        Raises:
            MovedError: as ``put``.
        """

        def commit() -> Change:
            seq = place.in_order_of(route.primary)
            if place.was_overtaken(route, document_id, None):
                return Change("superseded", route.primary.version)
            change = route.primary.delete(document_id, seq, guard)
            self._follow(route, document_id, partial(_clear, route.primary, document_id))
            return change

        return self._inside(route, commit)

    def delete_matching(self, route: Route, filter: Filter, place: Place) -> tuple[int, int]:
        """Delete what passes the filter in the primary, and say how many there were and the version without them.

        The mirror is compared with it before the name moves: which of its documents pass is for the primary to say.

        Raises:
            MovedError: as ``put``.
        """

        def commit() -> tuple[int, int]:
            deleted = route.primary.delete_matching(filter, place.in_order_of(route.primary))
            if route.mirror is not None:
                self.distrust(route.mirror)  # nothing failed, so there is no reason to give
            return deleted

        return self._inside(route, commit)

    def take(self, route: Route, document_id: str) -> tuple[int, Document | None]:
        """A number in the order of the mirror, then the document as the primary has it, to be copied with that."""
        assert route.mirror is not None  # noqa: S101  whoever copies has one
        return route.mirror.accept(), stored(route.primary, document_id)

    def clear(self, route: Route, document_id: str) -> None:
        """Delete a document in the mirror, if the primary has none of that id.

        Raises:
            MovedError: as ``put``.
        """
        mirror = route.mirror
        assert mirror is not None  # noqa: S101  as above
        self._inside(route, lambda: _clear(route.primary, document_id, mirror, mirror.accept()))

    def missed(self, mirror: Collection) -> Miss | None:
        """The last miss of a mirror that is to be compared with its primary; None where it has every write."""
        return self._missed.get(mirror)

    def distrust(self, mirror: Collection, reason: str = "") -> None:
        """A mirror may have missed something, for a reason where a write to it failed; the last one is kept."""
        before = self._missed.get(mirror)
        self._missed[mirror] = Miss(reason or (before.reason if before else ""))

    def compared(self, mirror: Collection, miss: Miss) -> None:
        """All that was missed up to ``miss`` has been made up for; what was missed since is still to come."""
        with self._gate.alone():
            if self._missed.get(mirror) is miss:
                del self._missed[mirror]

    def link(self, name: str, spec: CollectionSpec) -> None:
        """As ``Catalog.link``; no write that was prepared for the primary alone is committed after it."""
        with self._gate.alone():
            self._catalog.link(name, spec)
            for mirror in self._catalog.route(name).collections[1:]:
                self.distrust(mirror)

    def mark(self, name: str, state: State) -> None:
        """As ``Catalog.mark``."""
        self._catalog.mark(name, state)

    def move(self, name: str) -> bool:
        """Give the name to the mirror, if the state is that it should move.

        Returns:
            Whether it is where it should be: False, and nothing is changed, when the mirror has missed a write.
        """
        with self._gate.alone():
            route = self._catalog.route(name)
            if route.reembedding is None or not route.reembedding.is_moving:
                return True
            if route.mirror is not None and self.missed(route.mirror):
                return False
            with self._renumbered(route.primary):
                self._catalog.move(name, "switched" if route.reembedding.state == "building" else "rolled_back")
            self.on_move(name)
            return True

    def unlink(self, route: Route) -> None:
        """Delete the mirror.

        Raises:
            MovedError: the route is out of date, so this might be the other one.
        """
        with self._gate.alone():
            self._check(route)
            self._catalog.unlink(route.name)

    def _inside(self, route: Route, commit: Callable[[], T]) -> T:
        with self._gate.together():
            self._check(route)
            return commit()

    def _check(self, route: Route) -> None:
        if self._catalog.route(route.name).collections != route.collections:
            raise MovedError

    @contextmanager
    def _renumbered(self, old: Collection) -> Iterator[None]:
        """Writes that are under way keep their order over a move: of two, the one accepted later still wins.

        Those that are accepted meanwhile get their numbers after it, or one might come before an older write.
        """
        with self._placing:
            self._is_moving = True
        try:
            yield
        finally:
            with self._placing:
                self._is_moving = False
                for place in sorted(self._places, key=lambda place: place.ticket):
                    if place.collection in {None, old}:
                        with suppress(IndexesError):  # dropped meanwhile; the write will hear of it
                            place.take(self._catalog.route(place.name).primary)

    def _follow(self, route: Route, document_id: str, write: Callable[[Collection, int], None]) -> None:
        """Bring the mirror up to a commit of the primary."""
        mirror = route.mirror
        if mirror is None:
            return
        try:
            write(mirror, mirror.accept())
        except Exception as error:  # the edge between the two: whatever happened here, the primary has the write
            _log.warning("the mirror of %s misses a write", route.name, exc_info=error)
            self.distrust(mirror, f"document {document_id!r}: {error}")


def _put(
    collection: Collection, document: Document, content: Content | Exception, seq: int, guard: Filter | None = None
) -> Change:
    if isinstance(content, Exception):
        raise content
    return collection.put(document, content.chunks, content.vectors, seq, guard, content.sentences)


def _copy(primary: Collection, document: Document, contents: Contents, mirror: Collection, seq: int) -> None:
    now = stored(primary, document.id)
    if now is not None and now.content_hash == document.content_hash:  # else overtaken by a write that follows itself
        _put(mirror, document, contents[mirror], seq)


def _clear(primary: Collection, document_id: str, mirror: Collection, seq: int) -> None:
    if stored(primary, document_id) is None:  # as above
        mirror.delete(document_id, seq)


def stored(collection: Collection, document_id: str) -> Document | None:
    """The document, or None where there is none of that id."""
    try:
        return collection.document(document_id)
    except DocumentNotFoundError:
        return None
