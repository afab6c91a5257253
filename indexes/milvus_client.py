"""What a writer does to a Milvus server beside reading it: collections made, filled and dropped."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any

from pymilvus import DataType, MilvusClient

from indexes.milvus_filter import HELD, RANGES, TOKEN_CHARACTERS
from indexes.milvus_reading import CatalogRows, MilvusAddress, MilvusPart, MilvusReader, MilvusRows, translated
from indexes.milvus_row import (
    CHECKSUM,
    DOCUMENT,
    MOST_BYTES,
    MOST_TOKENS,
    ORDINAL,
    PAYLOAD,
    ROW,
    VECTOR,
    VERSION,
)
from indexes.names import MAX_ID_BYTES, MAX_NAME_CHARACTERS
from indexes.published_entry import NAME, RECORD
from indexes.spec import CollectionSpec

__all__ = ["CatalogTable", "MilvusAddress", "MilvusServer", "MilvusTable"]

# Rows in one message: of the longest texts and 4,096 dimensions they take 21 MB; a message may have 64.
_ROWS_AT_ONCE = 256
# Numbers or names of rows in one message.
_DELETED_AT_ONCE = 4_096
# Milvus has no collection without vectors.
_NO_VECTOR = [0.0, 0.0]


class MilvusServer(MilvusReader):
    """A Milvus server or cluster. Every method may be called from any thread, and raises MilvusUnavailableError."""

    def table(self, name: str, spec: CollectionSpec) -> "MilvusTable":
        """The rows of one collection, which need not be there yet."""
        return MilvusTable(self, name, spec)

    def catalog_table(self, name: str) -> "CatalogTable":
        """What is published of a catalogue, if anything is yet."""
        return CatalogTable(self, name)

    def drop(self, name: str) -> None:
        """Remove a collection's rows, if there are any."""
        client = self.client
        with translated("drop a collection"):
            client.drop_collection(name, timeout=self.address.timeout_s)


class _Changed(MilvusPart, ABC):
    """One that is made where there is none, and changed."""

    def make(self) -> None:
        """Have it be there."""
        self._ready()

    def _upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(entities), _ROWS_AT_ONCE):
            some = list(entities[first : first + _ROWS_AT_ONCE])
            self._asked("take rows", methodcaller("upsert", self.name, some, timeout=self._timeout_s))

    def _delete(self, keys: Sequence[int] | Sequence[str]) -> None:
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            some = list(keys[first : first + _DELETED_AT_ONCE])
            self._asked("delete rows", methodcaller("delete", self.name, ids=some, timeout=self._timeout_s))

    def _prepare(self, client: MilvusClient) -> None:
        with translated("make a collection"):
            is_there = client.has_collection(self.name, timeout=self._timeout_s)
            if not is_there:
                self._create(client)
        if is_there:
            super()._prepare(client)

    @abstractmethod
    def _create(self, client: MilvusClient) -> None:
        """Make an empty one."""


class MilvusTable(_Changed, MilvusRows):
    """The rows of one collection in Milvus. Every method may be called from any thread.

    All raise MilvusUnavailableError.

    Attributes:
        on_made: called when there was no such collection, and an empty one has been made.
    """

    def __init__(self, server: MilvusServer, name: str, spec: CollectionSpec) -> None:
        super().__init__(server, name, spec)
        self.on_made: Callable[[], None] = lambda: None

    def upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, or replace those of the same numbers."""
        self._upsert(entities)

    def delete(self, rows: Sequence[int]) -> None:
        """Remove rows by their numbers; those that are not there are no error."""
        self._delete(rows)

    def compact(self) -> None:
        """Ask for files without the rows that were deleted; Milvus does it when it likes."""
        self._asked("compact", lambda client: client.compact(self.name, timeout=self._timeout_s))

    def _create(self, client: MilvusClient) -> None:
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


class CatalogTable(_Changed, CatalogRows):
    """Records by name, as replicas read them. All methods raise MilvusUnavailableError."""

    def put(self, records: Mapping[str, str]) -> None:
        """Add records, or replace those of the same names."""
        self._upsert([{NAME: name, RECORD: record, VECTOR: _NO_VECTOR} for name, record in records.items()])

    def remove(self, names: Sequence[str]) -> None:
        """Take records away."""
        self._delete(names)

    def _create(self, client: MilvusClient) -> None:
        params = client.prepare_index_params()
        params.add_index(VECTOR, index_type="FLAT", metric_type="L2")
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(NAME, DataType.VARCHAR, is_primary=True, max_length=MAX_NAME_CHARACTERS)
        schema.add_field(RECORD, DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=len(_NO_VECTOR))
        client.create_collection(self.name, schema=schema, index_params=params, timeout=self._timeout_s)


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
