"""What can be read of a Milvus server, connected to when it is first asked, and of one collection's rows there.

Every call has a time after which it has failed. Whatever pymilvus or gRPC raise is one error of this room. Whoever is
to change nothing in Milvus is given these classes and none of ``milvus_client``.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import grpc
from pymilvus import MilvusClient, MilvusException

from indexes.base import SearchParams, Vectors
from indexes.errors import MilvusUnavailableError
from indexes.milvus_filter import HELD, RANGES
from indexes.milvus_index import MOST_FOUND, MilvusIndex
from indexes.milvus_row import CHECKSUM, CONTENT, ROW, VECTOR
from indexes.published_entry import NAME, RECORD
from indexes.spec import CollectionSpec

T = TypeVar("T")
Consistency = Literal["Strong", "Session", "Bounded"]
Content = dict[str, Any]
"""``CONTENT`` and ``CHECKSUM`` of a row, by field."""

# Milvus' codes for a collection that is not there, or not loaded.
_NOT_READY = {100, 101}
# Rows whose content one reply may have: of the longest texts and 4,096 dimensions they take 84 MB of Milvus' 100.
MOST_CONTENTS = 1_024
_WHOLE = [*CONTENT, CHECKSUM]


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where Milvus is, and how long it is waited for.

    Attributes:
        url: ``http://host:port``.
        token: ``user:password`` or a key of the API; empty where none is asked for.
        database: in it; empty takes the default.
        timeout_s: of one call.
        consistency: of searches.
    """

    url: str
    token: str = ""
    database: str = ""
    timeout_s: float = 10.0
    consistency: Consistency = "Strong"


class MilvusReader:
    """A Milvus server or cluster. Every method may be called from any thread, and raises MilvusUnavailableError."""

    def __init__(self, address: MilvusAddress, index: MilvusIndex) -> None:
        self.address = address
        self.index = index
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()

    @property
    def client(self) -> MilvusClient:
        """Connected."""
        with self._connecting:
            if self._client is None:
                at = self.address
                with translated("be reached"):
                    self._client = MilvusClient(at.url, token=at.token, db_name=at.database, timeout=at.timeout_s)
            return self._client

    def rows(self, name: str, spec: CollectionSpec) -> "MilvusRows":
        """The rows of one collection, to be read."""
        return MilvusRows(self, name, spec)

    def catalog_rows(self, name: str) -> "CatalogRows":
        """What is published of a catalogue, to be read."""
        return CatalogRows(self, name)

    def close(self) -> None:
        """Close the connection."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None


class MilvusPart:
    """A collection in Milvus as it is asked: loaded first, and once more where it was not.

    Subclasses say what is to be there before it is asked.
    """

    def __init__(self, server: MilvusReader, name: str) -> None:
        self.name = name
        self._server = server
        self._is_ready = False
        self._preparing = threading.Lock()

    def _prepare(self, client: MilvusClient) -> None:
        """Have it loaded.

        Raises:
            MilvusUnavailableError: there is none, or it is not one of ours.
        """
        with translated("load a collection"):
            if not client.has_collection(self.name, timeout=self._timeout_s):
                raise MilvusUnavailableError(self._absence)
            self._check(client.describe_collection(self.name, timeout=self._timeout_s))
            client.load_collection(self.name, timeout=self._timeout_s)

    def _check(self, described: Mapping[str, Any]) -> None:
        """Raise MilvusUnavailableError where it is not one of ours."""

    @property
    def _absence(self) -> str:
        """What there is to say where there is none."""
        return f"Milvus has no collection {self.name}"

    @property
    def _timeout_s(self) -> float:
        return self._server.address.timeout_s

    def _queried(self, condition: str, fields: list[str], limit: int | None = MOST_FOUND) -> list[dict[str, Any]]:
        given = {} if limit is None else {"limit": limit}
        found: list[dict[str, Any]] = self._asked(
            "read rows",
            lambda client: client.query(
                self.name,
                filter=condition,
                output_fields=fields,
                consistency_level="Strong",
                timeout=self._timeout_s,
                **given,
            ),
        )
        return found

    def _asked(self, what: str, call: Callable[[MilvusClient], T]) -> T:
        """Once more where somebody has released or dropped the collection meanwhile, or Milvus has forgotten it."""
        client = self._ready()
        with translated(what):
            try:
                return call(client)
            except MilvusException as error:
                if error.code not in _NOT_READY:
                    raise
        self._is_ready = False
        client = self._ready()
        with translated(what):
            return call(client)

    def _ready(self) -> MilvusClient:
        client = self._server.client
        if not self._is_ready:
            with self._preparing:
                if not self._is_ready:
                    self._prepare(client)
                    self._is_ready = True
        return client


class MilvusRows(MilvusPart):
    """The rows of one collection in Milvus, to be read. Every method may be called from any thread.

    All raise MilvusUnavailableError.
    """

    def __init__(self, server: MilvusReader, name: str, spec: CollectionSpec) -> None:
        super().__init__(server, name)
        self.index = server.index
        self._spec = spec

    def candidates(self, query: Vectors, limit: int, condition: str, params: SearchParams) -> list[int]:
        """Numbers of up to ``limit`` rows near to a ``(dimension,)`` query that meet the condition, best first."""
        return [int(hit[ROW]) for hit in self._searched(query, limit, condition, params, None)]

    def near(self, query: Vectors, limit: int, condition: str, params: SearchParams) -> list[Content]:
        """As ``candidates``, with what Milvus has of each row at the same moment.

        More than ``MOST_CONTENTS`` are read after the search: of these some may be gone by then.
        """
        if limit > MOST_CONTENTS:
            return list(self.read(self.candidates(query, limit, condition, params)).values())
        return [hit["entity"] for hit in self._searched(query, limit, condition, params, _WHOLE)]

    def read(self, rows: Sequence[int]) -> dict[int, Content]:
        """Those of the rows that are there, by their numbers, in the order of ``rows``."""
        found: dict[int, Content] = {}
        for first in range(0, len(rows), MOST_CONTENTS):
            some = rows[first : first + MOST_CONTENTS]
            found |= {row[ROW]: row for row in self._queried(_among(some), _WHOLE)}
        return {row: found[row] for row in rows if row in found}

    def living(self, rows: Sequence[int]) -> set[int]:
        """Numbers of those of the rows that are there."""
        return {row[ROW] for row in self._queried(_among(rows), [ROW])} if rows else set()

    def checksums(self, first: int, stop: int) -> dict[int, int]:
        """Number -> checksum of the rows in a run of numbers."""
        return {row[ROW]: row[CHECKSUM] for row in self._between(first, stop, [ROW, CHECKSUM])}

    def contents(self, first: int, stop: int) -> Iterator[tuple[dict[str, Any], int]]:
        """``CONTENT`` and checksum of the rows in a run of numbers."""
        for row in self._between(first, stop, _WHOLE):
            yield {name: row[name] for name in CONTENT}, row[CHECKSUM]

    def beyond(self, last: int) -> list[int]:
        """Numbers of rows above ``last``, of many the first ones."""
        return [row[ROW] for row in self._queried(f"{ROW} > {last}", [ROW])]

    def count(self, condition: str = "") -> int:
        """How many rows there are that meet the condition."""
        return int(self._queried(condition, ["count(*)"], None)[0]["count(*)"])

    def _searched(
        self, query: Vectors, limit: int, condition: str, params: SearchParams, fields: list[str] | None
    ) -> list[dict[str, Any]]:
        found: list[list[dict[str, Any]]] = self._asked(
            "search",
            lambda client: client.search(
                self.name,
                data=[query],
                limit=limit,
                filter=condition,
                output_fields=fields,
                anns_field=VECTOR,
                search_params={"params": dict(self.index.searched_with(limit, params))},
                consistency_level=self._server.address.consistency,
                timeout=self._timeout_s,
            ),
        )
        return found[0]

    def _between(self, first: int, stop: int, fields: list[str]) -> list[dict[str, Any]]:
        if stop - first > MOST_FOUND:
            raise ValueError(f"{stop - first} rows were asked for at once; the limit is {MOST_FOUND}")
        return self._queried(f"{ROW} >= {first} and {ROW} < {stop}", fields)

    def _check(self, described: Mapping[str, Any]) -> None:
        """Names are ours by their uid; somebody may have made one by hand, or have restored another one over it."""
        fields = {field["name"]: field for field in described["fields"]}
        dimension = fields.get(VECTOR, {}).get("params", {}).get("dim")
        if not {*_WHOLE, HELD, RANGES} <= fields.keys() or int(dimension or 0) != self._spec.dimension:
            raise MilvusUnavailableError(
                f"the collection {self.name} in Milvus is not one of this program's with vectors of "
                f"{self._spec.dimension} dimensions: it has the fields {', '.join(fields)} and {dimension} dimensions"
            )


class CatalogRows(MilvusPart):
    """What a writer has published of its catalogue, to be read: records by name. Methods raise as ``MilvusRows``'."""

    @property
    def _absence(self) -> str:
        return f"no writer has published its collections in {self.name} yet"

    def record(self, name: str) -> str | None:
        """One of them, by a name that no user gave."""
        found = self._queried(f'{NAME} == "{name}"', [NAME, RECORD])
        return str(found[0][RECORD]) if found else None

    def records(self) -> dict[str, str]:
        """All of them."""
        return {row[NAME]: row[RECORD] for row in self._queried("", [NAME, RECORD])}


def _among(rows: Sequence[int]) -> str:
    return f"{ROW} in {[int(row) for row in rows]}"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """What pymilvus raises as what this room does, which was to do ``what``; its own words stay in the log."""
    try:
        yield
    except MilvusException as error:
        raise MilvusUnavailableError(f"Milvus could not {what} (code {error.code})") from error
    except grpc.RpcError as error:
        raise MilvusUnavailableError(f"Milvus could not {what}: the connection failed") from error
