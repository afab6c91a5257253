"""The one file that knows pymilvus: a server, connected to when it is first asked, and one collection's rows there.

Every call has a time after which it has failed. Whatever pymilvus or gRPC raise is one error of this room.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Literal, TypeVar

import grpc
from pymilvus import DataType, MilvusClient, MilvusException

from indexes.base import SearchParams, Vectors
from indexes.errors import MilvusUnavailableError
from indexes.milvus_filter import HELD, RANGES, TOKEN_CHARACTERS
from indexes.milvus_index import MOST_FOUND, MilvusIndex
from indexes.milvus_row import (
    CHECKSUM,
    CONTENT,
    DOCUMENT,
    MOST_BYTES,
    MOST_TOKENS,
    ORDINAL,
    PAYLOAD,
    ROW,
    VECTOR,
    VERSION,
)
from indexes.names import MAX_ID_BYTES
from indexes.spec import CollectionSpec

T = TypeVar("T")
Consistency = Literal["Strong", "Session", "Bounded"]

# Rows in one message: of the longest texts and 4,096 dimensions they take 21 MB; a message may have 64.
_ROWS_AT_ONCE = 256
# Milvus' codes for a collection that is not there, or not loaded.
_NOT_READY = {100, 101}
# Numbers of rows in one message.
_DELETED_AT_ONCE = 4_096


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


class MilvusServer:
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

    def table(self, name: str, spec: CollectionSpec) -> "MilvusTable":
        """The rows of one collection, which need not be there yet."""
        return MilvusTable(self, name, spec)

    def drop(self, name: str) -> None:
        """Remove a collection's rows, if there are any."""
        client = self.client
        with translated("drop a collection"):
            client.drop_collection(name, timeout=self.address.timeout_s)

    def close(self) -> None:
        """Close the connection."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None


class MilvusTable:
    """The rows of one collection in Milvus. Every method may be called from any thread.

    All raise MilvusUnavailableError.

    Attributes:
        on_made: called when there was no such collection, and an empty one has been made.
    """

    def __init__(self, server: MilvusServer, name: str, spec: CollectionSpec) -> None:
        self.name = name
        self.index = server.index
        self.on_made: Callable[[], None] = lambda: None
        self._server = server
        self._spec = spec
        self._is_made = False
        self._making = threading.Lock()

    def upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, or replace those of the same numbers."""
        for first in range(0, len(entities), _ROWS_AT_ONCE):
            some = list(entities[first : first + _ROWS_AT_ONCE])
            self._asked("take rows", methodcaller("upsert", self.name, some, timeout=self._timeout_s))

    def delete(self, rows: Sequence[int]) -> None:
        """Remove rows by their numbers; those that are not there are no error."""
        for first in range(0, len(rows), _DELETED_AT_ONCE):
            some = list(rows[first : first + _DELETED_AT_ONCE])
            self._asked("delete rows", methodcaller("delete", self.name, ids=some, timeout=self._timeout_s))

    def candidates(self, query: Vectors, limit: int, condition: str, params: SearchParams) -> list[int]:
        """Numbers of up to ``limit`` rows near to a ``(dimension,)`` query that meet the condition, best first."""
        found = self._asked(
            "search",
            lambda client: client.search(
                self.name,
                data=[query],
                limit=limit,
                filter=condition,
                anns_field=VECTOR,
                search_params={"params": dict(self.index.searched_with(limit, params))},
                consistency_level=self._server.address.consistency,
                timeout=self._timeout_s,
            ),
        )
        return [int(hit[ROW]) for hit in found[0]]

    def checksums(self, first: int, stop: int) -> dict[int, int]:
        """Number -> checksum of the rows in a run of numbers."""
        return {row[ROW]: row[CHECKSUM] for row in self._between(first, stop, [ROW, CHECKSUM])}

    def contents(self, first: int, stop: int) -> Iterator[tuple[dict[str, Any], int]]:
        """``CONTENT`` and checksum of the rows in a run of numbers."""
        for row in self._between(first, stop, [*CONTENT, CHECKSUM]):
            yield {name: row[name] for name in CONTENT}, row[CHECKSUM]

    def beyond(self, last: int) -> list[int]:
        """Numbers of rows above ``last``, of many the first ones."""
        return [row[ROW] for row in self._queried(f"{ROW} > {last}", [ROW])]

    def count(self) -> int:
        """How many rows there are."""
        return int(self._queried("", ["count(*)"], None)[0]["count(*)"])

    def compact(self) -> None:
        """Ask for files without the rows that were deleted; Milvus does it when it likes."""
        self._asked("compact", lambda client: client.compact(self.name, timeout=self._timeout_s))

    def _between(self, first: int, stop: int, fields: list[str]) -> list[dict[str, Any]]:
        if stop - first > MOST_FOUND:
            raise ValueError(f"{stop - first} rows were asked for at once; the limit is {MOST_FOUND}")
        return self._queried(f"{ROW} >= {first} and {ROW} < {stop}", fields)

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

    @property
    def _timeout_s(self) -> float:
        return self._server.address.timeout_s

    def _asked(self, what: str, call: Callable[[MilvusClient], T]) -> T:
        """Once more where somebody has released or dropped the collection meanwhile, or Milvus has forgotten it."""
        client = self._ready()
        with translated(what):
            try:
                return call(client)
            except MilvusException as error:
                if error.code not in _NOT_READY:
                    raise
        self._is_made = False
        client = self._ready()
        with translated(what):
            return call(client)

    def _ready(self) -> MilvusClient:
        client = self._server.client
        if not self._is_made:
            with self._making:
                if not self._is_made:
                    self._make(client)
                    self._is_made = True
        return client

    def _make(self, client: MilvusClient) -> None:
        with translated("make a collection"):
            if not client.has_collection(self.name, timeout=self._timeout_s):
                params = client.prepare_index_params()
                index, spec = self.index, self._spec
                params.add_index(
                    VECTOR,
                    index_type=index.type,
                    metric_type=index.metric(spec.metric),
                    params=index.built_with(spec.dimension),
                )
                schema = _schema(client, spec.dimension)
                client.create_collection(self.name, schema=schema, index_params=params, timeout=self._timeout_s)
                self.on_made()
            else:
                self._check(client.describe_collection(self.name, timeout=self._timeout_s))
                client.load_collection(self.name, timeout=self._timeout_s)

    def _check(self, described: Mapping[str, Any]) -> None:
        """Names are ours by their uid; somebody may have made one by hand, or have restored another one over it."""
        fields = {field["name"]: field for field in described["fields"]}
        dimension = fields.get(VECTOR, {}).get("params", {}).get("dim")
        if not {*CONTENT, CHECKSUM, HELD, RANGES} <= fields.keys() or int(dimension or 0) != self._spec.dimension:
            raise MilvusUnavailableError(
                f"the collection {self.name} in Milvus is not one of this program's with vectors of "
                f"{self._spec.dimension} dimensions: it has the fields {', '.join(fields)} and {dimension} dimensions"
            )


def _schema(client: MilvusClient, dimension: int) -> Any:  # noqa: ANN401  a schema of pymilvus
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field(DOCUMENT, DataType.VARCHAR, max_length=MAX_ID_BYTES)
    schema.add_field(ORDINAL, DataType.INT64)
    schema.add_field(VERSION, DataType.INT64)
    schema.add_field(PAYLOAD, DataType.VARCHAR, max_length=MOST_BYTES)
    schema.add_field(
        HELD, DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=MOST_TOKENS, max_length=TOKEN_CHARACTERS
    )
    schema.add_field(RANGES, DataType.JSON)
    schema.add_field(CHECKSUM, DataType.INT64)
    return schema


@contextmanager
def translated(what: str) -> Iterator[None]:
    """What pymilvus raises as what this room does, which was to do ``what``; its own words stay in the log."""
    try:
        yield
    except MilvusException as error:
        raise MilvusUnavailableError(f"Milvus could not {what} (code {error.code})") from error
    except grpc.RpcError as error:
        raise MilvusUnavailableError(f"Milvus could not {what}: the connection failed") from error
