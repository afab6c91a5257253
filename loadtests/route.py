"""What may be asked of a server under load, and the mixes of it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Route(StrEnum):
    """A kind of request."""

    SEARCH = "search"
    QUERY = "query"
    STREAM = "stream"
    CHAT = "chat"
    INGEST = "ingest"

    @property
    def is_streamed(self) -> bool:
        """Its reply comes token by token."""
        return self in {Route.STREAM, Route.CHAT}


Weights = Mapping[Route, float]

# By the name of the Locust user, in lower case.
MIXES: Mapping[str, Weights] = MappingProxyType(
    {route.value: MappingProxyType({route: 1.0}) for route in Route}
    | {
        "mix": MappingProxyType(
            {Route.SEARCH: 5.0, Route.QUERY: 1.0, Route.STREAM: 2.0, Route.CHAT: 1.0, Route.INGEST: 1.0}
        )
    }
)
