"""Named collections of one data directory, which one process owns at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from indexes import catalog_rows, reembeddings
from indexes.aliases import Aliases
from indexes.collection import Collection, QueriedCollection
from indexes.collection_folders import CollectionFolders
from indexes.data_directory import CATALOG, COLLECTIONS, owned, refuse_lost_catalog
from indexes.database import SqliteDatabase
from indexes.durable import make_folder
from indexes.errors import (
    AliasedError,
    CollectionConflictError,
    CollectionNotFoundError,
    DataDirectoryError,
    StoreUnavailableError,
    TooManyCollectionsError,
    UnknownLanguageError,
)
from indexes.languages import check_language
from indexes.lexical_thread import LexicalThread
from indexes.names import check_collection_name
from indexes.preferences import Preferences
from indexes.reembeddings import Reembedding, Route, State
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from indexes.writer import GroupCommitWriter

if TYPE_CHECKING:
    from indexes.milvus_client import MilvusServer

# A store that is damaged, lost or newer than the program, and an identity that cannot be read or has no language here.
_COSTS_ONE = (StoreUnavailableError, DataDirectoryError, UnknownLanguageError, ValueError, TypeError)


class Catalog:
    """Opens every collection of ``data_dir`` and holds its lock until ``close``.

    A collection lives in ``collections/<uuid>/``, so that a name can be given to a new one while files of the old one
    are still being removed. A row whose name is NULL is a deletion to finish, or the mirror in a reembedding. A name
    is that of a collection or an alias, never both; where a collection is asked for by name, an alias will do.

    Args:
        data_dir: created when absent.
        policy: see ``Collection``.
        most: collections that there may be when one is created; None sets no limit. However many there are, all open.
        milvus: where the vectors of new collections go; None keeps them here.

    Raises:
        DataDirectoryError: another process holds the lock, or the catalogue is lost or newer than the program.
        StoreUnavailableError: SQLite cannot open a file.
    """

    def __init__(
        self, data_dir: Path, policy: IndexPolicy, most: int | None = None, milvus: "MilvusServer | None" = None
    ) -> None:
        self.data_dir = data_dir
        self._most = most
        folder = data_dir / COLLECTIONS
        try:
            make_folder(folder)
        except OSError as error:
            raise DataDirectoryError(f"cannot create {folder}: {error.strerror}") from error
        self._mutation = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._damaged: dict[str, str] = {}  # name -> why it could not be opened
        self._changed: Callable[[], None] = lambda: None
        with ExitStack() as opened:
            opened.enter_context(owned(data_dir))
            refuse_lost_catalog(data_dir)
            self._database = SqliteDatabase(
                data_dir / CATALOG, catalog_rows.SCHEMA, catalog_rows.SCHEMA_VERSION, catalog_rows.MIGRATIONS
            )
            opened.callback(self._database.close)
            opened.callback(self._close_collections)
            self._writer = GroupCommitWriter()
            opened.callback(self._writer.close)
            lexical = LexicalThread()
            opened.callback(lexical.close)
            self._folders = CollectionFolders(data_dir, self._database, self._writer, policy, lexical, milvus)
            self._aliases = Aliases(self._database, self._writer)
            self._preferences = Preferences(self._database, self._writer)
            self._open_all()
            self._opened = opened.pop_all()

    def get(self, name: str) -> Collection:
        """The collection of that name.

        Raises:
            CollectionNotFoundError: there is none.
            StoreUnavailableError: its files are damaged.
        """
        return self.route(name).primary

    def route(self, name: str) -> Route:
        """Where the name, or the collection that an alias names, leads now.

        Raises:
            CollectionNotFoundError, StoreUnavailableError: as ``get``.
        """
        name = self._aliases.resolved(name)
        if name in self._damaged:
            raise StoreUnavailableError(f"collection {name!r} could not be opened: {self._damaged[name]}")
        try:
            return self._routes[name]
        except KeyError:
            raise CollectionNotFoundError(name) from None

    def __contains__(self, name: str) -> bool:
        name = self._aliases.resolved(name)
        return name in self._routes or name in self._damaged

    def name_of(self, collection: QueriedCollection) -> str:
        """The name that leads to a collection, or whose mirror it is; empty where none does any more."""
        routes = list(self._routes.items())
        return next((name for name, route in routes if any(each is collection for each in route.collections)), "")

    def names(self) -> list[str]:
        """The name of every collection, sorted."""
        return sorted([*self._routes, *self._damaged])

    def primaries(self) -> dict[str, Collection]:
        """The collection that each name leads to now."""
        return {name: route.primary for name, route in list(self._routes.items())}

    def damaged(self) -> list[str]:
        """The names of the collections that could not be opened, sorted."""
        return sorted(self._damaged)

    def aliases(self) -> dict[str, str]:
        """Alias -> collection, by alias."""
        return self._aliases.mapping()

    def ensure(self, name: str, spec: CollectionSpec) -> tuple[Collection, bool]:
        """The collection of that name and identity, and whether it was created just now.

        Raises:
            InvalidNameError: the name is not 1-64 letters, digits, ``_``, ``.``, ``-``, a letter or digit first.
            UnknownLanguageError: no text can be read by the identity's language.
            CollectionConflictError: it exists with another identity.
            TooManyCollectionsError: it does not, and there are as many as there may be.
        """
        check_collection_name(name)
        check_language(spec.language)
        with self._changing():
            if name not in self:
                if self._most is not None and len(self.names()) >= self._most:
                    raise TooManyCollectionsError(name, self._most)
                return self._create(name, spec), True
            existing = self.get(name)
        differences = existing.spec.differences(spec)
        if differences:
            said = ", ".join(f"{field} is {mine!r}, not {asked!r}" for field, (mine, asked) in differences.items())
            raise CollectionConflictError(f"collection {name!r} exists with another identity: {said}")
        return existing, False

    def drop(self, name: str) -> None:
        """Delete a collection and its files, those of its mirror too.

        Raises:
            CollectionNotFoundError: there is none of that name.
            AliasedError: an alias names it.
        """
        with self._changing():
            if name not in self:
                raise CollectionNotFoundError(name)
            name = self._aliases.resolved(name)
            named_by = self._aliases.of(name)
            if named_by:
                raise AliasedError(name, named_by)
            # Closed on the writer thread: SQLite crashes when a connection is closed under a statement it executes.
            work = partial(catalog_rows.forget, name=name)
            uids = self._writer.write(self._database, work, lambda _: self._close(name))
        for uid in uids:
            self._folders.purge(uid)

    def set_alias(self, name: str, collection: str) -> bool:
        """Make ``name`` an alias of a collection, or move it there; the next request follows it.

        Returns:
            Whether it is new.

        Raises:
            InvalidNameError: as ``ensure``.
            CollectionNotFoundError: there is no such collection.
            CollectionConflictError: ``name`` is the name of a collection.
        """
        check_collection_name(name)
        with self._changing():
            if name in self.names():
                raise CollectionConflictError(f"{name!r} is the name of a collection, so it cannot be an alias")
            if collection not in self:
                raise CollectionNotFoundError(collection)
            is_new = name not in self._aliases
            self._aliases.set(name, self._aliases.resolved(collection))
        return is_new

    def remove_alias(self, name: str) -> None:
        """Remove an alias; its collection stays.

        Raises:
            AliasNotFoundError: there is none of that name.
        """
        with self._changing():
            self._aliases.remove(name)

    def preference(self, name: str, key: str) -> str | None:
        """What users of a collection prefer, or None; it stays with the name through a reembedding."""
        return self._preferences.get(self._aliases.resolved(name), key)

    def preferences(self, name: str) -> dict[str, str]:
        """All that users of a collection prefer, by key."""
        return self._preferences.of(name)

    def prefer(self, name: str, key: str, value: str | None) -> None:
        """Keep a preference, durable when this returns; None forgets it.

        Raises:
            CollectionNotFoundError: there is no such collection.
        """
        with self._changing():
            if name not in self:
                raise CollectionNotFoundError(name)
            self._preferences.set(self._aliases.resolved(name), key, value)

    def link(self, name: str, spec: CollectionSpec) -> None:
        """Give the collection an empty mirror of that identity, which is to take its name over.

        Raises:
            CollectionConflictError: it has a mirror already.
        """
        with self._changing():
            route = self.route(name)
            if route.reembedding:
                raise CollectionConflictError(f"collection {route.name!r} is being re-embedded already")
            mirror = self._folders.new(spec, lambda connection, uid: reembeddings.link(connection, route.name, uid))
            self._routes[route.name] = Route(route.name, route.primary, Reembedding("building", mirror))

    def mark(self, name: str, state: State) -> None:
        """Note a state of a reembedding that leaves the name where it is."""
        with self._changing():
            route, link = self._linked(name)
            self._writer.write(self._database, partial(reembeddings.mark, name=route.name, state=state))
            self._routes[route.name] = replace(route, reembedding=replace(link, state=state))

    def move(self, name: str, state: State) -> None:
        """Give the name to the mirror, whose mirror the present primary becomes; both change at once."""
        with self._changing():
            route, link = self._linked(name)
            if link.mirror is None:
                raise StoreUnavailableError(f"the mirror of {route.name!r} could not be opened: {link.damage}")
            moved = Route(route.name, link.mirror, Reembedding(state, route.primary))
            work = partial(reembeddings.move, name=route.name, state=state)
            self._writer.write(self._database, work, lambda _: self._routes.update({route.name: moved}))

    def unlink(self, name: str) -> None:
        """Delete the mirror and its files."""
        with self._changing():
            route, _ = self._linked(name)
            alone = Route(route.name, route.primary)

            def applied(_: str | None) -> None:
                self._routes[route.name] = alone
                if route.mirror:
                    route.mirror.close()

            uid = self._writer.write(self._database, partial(reembeddings.unlink, name=route.name), applied)
        if uid is not None:
            self._folders.purge(uid)

    def _linked(self, name: str) -> tuple[Route, Reembedding]:
        route = self.route(name)
        if route.reembedding is None:
            raise CollectionConflictError(f"collection {route.name!r} is not being re-embedded")
        return route, route.reembedding

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called, on any thread, after names, aliases or preferences may have changed."""
        self._changed = changed

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._mutation:
            yield
        self._changed()

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """While this is held no collection is created, dropped or renamed; reads and writes go on."""
        with self._mutation:
            yield

    def close(self) -> None:
        """Finish the writes that are queued, close every file, release the lock."""
        self._opened.close()

    def _close(self, name: str) -> None:
        self._preferences.forget(name)
        if self._damaged.pop(name, None) is None:
            for collection in self._routes.pop(name).collections:
                collection.close()

    def _close_collections(self) -> None:
        for route in self._routes.values():
            for collection in route.collections:
                collection.close()

    def _open_all(self) -> None:
        with self._database.reading() as connection:
            rows = catalog_rows.stored(connection)
            mirrors = reembeddings.unnamed(connection)
        for uid, name, stored in rows:
            if name is not None:
                self._open_or_set_aside(name, uid, stored)
            elif uid in mirrors:
                self._open_mirror(*mirrors[uid], uid, stored)
            else:
                self._folders.purge(uid)

    def _open_or_set_aside(self, name: str, uid: str, stored: str) -> None:
        """A damaged file costs one collection; its files stay as they are for whoever repairs them."""
        try:
            self._routes[name] = Route(name, self._folders.open_again(uid, CollectionSpec(**orjson.loads(stored))))
        except _COSTS_ONE as error:
            self._damaged[name] = str(error)

    def _open_mirror(self, name: str, state: State, uid: str, stored: str) -> None:
        """After its primary, without which it is of no use; damaged, it costs nothing but itself."""
        if name in self._damaged:
            return
        try:
            link = Reembedding(state, self._folders.open(uid, CollectionSpec(**orjson.loads(stored))))
        except _COSTS_ONE as error:
            link = Reembedding(state, None, damage=str(error))
        self._routes[name] = replace(self._routes[name], reembedding=link)

    def _create(self, name: str, spec: CollectionSpec) -> Collection:
        collection = self._folders.new(spec, partial(catalog_rows.name, name=name))
        self._preferences.forget(name)
        self._routes[name] = Route(name, collection)
        return collection
