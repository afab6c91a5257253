"""QueriedLibrary: the collections that this process can answer questions from."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from indexes.collection import QueriedCollection
from indexes.errors import CollectionConflictError, StoreUnavailableError
from indexes.named import Named
from indexes.queried_catalog import QueriedCatalog
from indexes.spec import CollectionSpec
from models.base import EmbedderInfo
from service.preferred import Preferred

T = TypeVar("T")
R = TypeVar("R", bound=Named)


async def _nothing_more(name: str) -> None:
    """All names are known."""


class QueriedLibrary:
    """Collections by name, checked against the embedders that are served.

    Attributes:
        seek: awaited with a name before it is asked for; whoever may not know all names looks for it.
    """

    def __init__(
        self,
        catalog: QueriedCatalog,
        embedders: Sequence[EmbedderInfo],
        seek: Callable[[str], Awaitable[None]] = _nothing_more,
    ) -> None:
        self._names = catalog
        self._embedders = {embedder.name: embedder for embedder in embedders}
        self.seek = seek

    def names(self) -> list[str]:
        """Every name, sorted."""
        return self._names.names()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def damaged(self) -> list[str]:
        """As ``QueriedCatalog.damaged``."""
        return self._names.damaged()

    def aliases(self) -> dict[str, str]:
        """Alias -> collection, by alias."""
        return self._names.aliases()

    def route(self, name: str) -> Named:
        """Where a name leads now; as ``QueriedCatalog.route``."""
        return self._names.route(name)

    def find(self, name: str) -> QueriedCollection:
        """The collection, whatever embedder made its vectors.

        Raises:
            CollectionNotFoundError: there is none.
        """
        return self.route(name).primary

    def read(self, name: str, reading: Callable[[Named], T]) -> T:
        """What ``reading`` finds where the name leads, however often it moves away meanwhile.

        Raises:
            CollectionNotFoundError, StoreUnavailableError: as ``reading`` does.
        """
        return read_where_it_leads(self.route, name, reading)

    def get(self, name: str) -> QueriedCollection:
        """The collection, if a served embedder made its vectors: to search it.

        Raises:
            CollectionNotFoundError: there is none.
            CollectionConflictError: another embedder made them.
        """
        collection = self.find(name)
        self._check_served(name, collection.spec)
        return collection

    def preferred(self, name: str) -> Preferred:
        """What the collection's users prefer."""
        return Preferred.of(self._names, name)

    def _check_served(self, name: str, spec: CollectionSpec) -> None:
        served = self._embedders.values()
        if spec.fingerprint not in {embedder.fingerprint for embedder in served}:
            names = ", ".join(f"{embedder.name!r} ({embedder.fingerprint[:12]})" for embedder in served)
            raise CollectionConflictError(
                f"collection {name!r} holds vectors of {spec.embedding_model!r} ({spec.fingerprint[:12]}), "
                f"but this server runs {names}"
            )


def read_where_it_leads(route_of: Callable[[str], R], name: str, reading: Callable[[R], T]) -> T:
    """See ``QueriedLibrary.read``."""
    while True:
        route = route_of(name)
        try:
            return reading(route)
        except StoreUnavailableError:
            if route_of(name).primary is route.primary:
                raise
