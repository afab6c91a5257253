"""Rights: what a caller may do, with which collections, and which of their documents exist for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from indexes.filters import Compound, Filter, matches
from service.access.scope import SCOPES, Scope
from service.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Rights:
    """What one key grants.

    Attributes:
        scopes: what may be done.
        collections: names that may be used; None is every one there is or will be.
        filter: what a document's metadata must pass to exist for the caller; None is every document.
    """

    scopes: frozenset[Scope] = frozenset(SCOPES)
    collections: frozenset[str] | None = None
    filter: Filter | None = None

    @property
    def is_whole(self) -> bool:
        """Every document of every collection."""
        return self.collections is None and self.filter is None

    def require(self, *scopes: Scope) -> None:
        """Refuse whoever has none of ``scopes``.

        Raises:
            ForbiddenError: naming what is needed.
        """
        if "admin" not in self.scopes and not self.scopes.intersection(scopes):
            raise ForbiddenError(f"this key has not the scope {' or '.join(scopes)}: it has {_listed(self.scopes)}")

    def require_whole(self) -> None:
        """Refuse whoever may not see everything that the node has.

        Raises:
            ForbiddenError: the key is restricted to some collections, or some documents.
        """
        if not self.is_whole:
            some = "collections" if self.collections is not None else "documents, by its filter"
            raise ForbiddenError(f"this is about the whole node, and this key is restricted to some of its {some}")

    def collection(self, name: str, aliases: Mapping[str, str]) -> str:
        """The name to go on with for a collection that was asked for by ``name``.

        An alias may be used by whoever may use what it leads to; it is followed here and now, as it may be moved to
        another collection before it is looked up again. One that the key names is granted wherever it leads.

        Args:
            aliases: alias -> collection.

        Raises:
            ForbiddenError: naming it, whether or not anything has that name.
        """
        if self.collections is None or name in self.collections:
            return name
        own = aliases.get(name)
        if own not in self.collections:
            raise ForbiddenError(f"this key may not use a collection of the name {name!r}")
        return own

    def covers(self, name: str, aliases: Mapping[str, str]) -> bool:
        """Whether a name may be used."""
        return self.collections is None or bool(self.collections.intersection({name, aliases.get(name, name)}))

    def reach(self, aliases: Mapping[str, str]) -> frozenset[str] | None:
        """The collections, by their own names, that may be used by some name; None is every one."""
        if self.collections is None:
            return None
        return frozenset(aliases.get(name, name) for name in self.collections)

    def known_as(self, own: str, aliases: Mapping[str, str]) -> str | None:
        """What a collection is called to the caller: its ``own`` name, or its first alias that is granted, or None."""
        if self.covers(own, {}):
            return own
        return min((name for name in self.collections or () if aliases.get(name) == own), default=None)

    def sees(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata exists for the caller."""
        return self.filter is None or matches(self.filter, metadata)

    def both(self, filter: Filter) -> Filter:
        """What passes ``filter``, of what exists for the caller."""
        return filter if self.filter is None else Compound("and", (self.filter, filter))


ALL = Rights()
"""Those of whoever asks a server without keys."""


def _listed(scopes: Collection[Scope]) -> str:
    return ", ".join(scope for scope in SCOPES if scope in scopes) or "none"
