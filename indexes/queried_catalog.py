"""QueriedCatalog: names and what they lead to, for who looks for answers."""

from typing import Protocol

from indexes.named import Named


class QueriedCatalog(Protocol):
    """``Catalog`` says more of each method; any thread may call them, and none of them waits."""

    def __contains__(self, name: str) -> bool: ...

    def route(self, name: str) -> Named:
        """Where a name, or the collection that an alias names, leads now.

        Raises:
            CollectionNotFoundError: nowhere.
            StoreUnavailableError: it cannot be opened.
        """

    def names(self) -> list[str]:
        """The name of every collection, sorted."""

    def damaged(self) -> list[str]:
        """The names of the collections that could not be opened, sorted."""

    def aliases(self) -> dict[str, str]:
        """Alias -> collection, by alias."""

    def preference(self, name: str, key: str) -> str | None:
        """What users of a collection prefer, or None."""
