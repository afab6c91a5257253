"""What a writer publishes of its catalogue: one record for each name, as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

import orjson

from indexes.errors import StoreUnavailableError
from indexes.spec import CollectionSpec

# Of records: raise it when they are made otherwise.
LAYOUT = 1
# Names of fields in Milvus.
NAME, RECORD = "name", "record"
# The record that changes with every other; no collection has its name.
MARK = "."


@dataclass(frozen=True, slots=True)
class PublishedCollection:
    """A collection under its name.

    Attributes:
        identity: see ``QueriedCollection``.
        place: name of its rows in Milvus.
        preferences: what its users prefer, by key.
    """

    identity: str
    place: str
    spec: CollectionSpec
    preferences: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishedAlias:
    """A second name.

    Attributes:
        collection: that it names.
    """

    collection: str


PublishedEntry: TypeAlias = PublishedCollection | PublishedAlias


@dataclass(frozen=True, slots=True)
class PublishedMark:
    """Who published last.

    Attributes:
        writer: another for each process.
        number: of its publications.
    """

    writer: str
    number: int

    def written(self) -> str:
        """As a record."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def read(cls, record: str | None) -> Self | None:
        """None where nothing is published, or by nobody that could be known."""
        try:
            return cls(**orjson.loads(record or ""))
        except (ValueError, TypeError):
            return None


def catalog_name(catalog: str) -> str:
    """Of the collection in Milvus, for the catalogue that settings name."""
    return f"quarry_catalog_v{LAYOUT}_{catalog}"


def written(entry: PublishedEntry) -> str:
    """As a record."""
    return orjson.dumps(asdict(entry), option=orjson.OPT_SORT_KEYS).decode()


def read(record: str) -> PublishedEntry:
    """What a record says.

    Raises:
        StoreUnavailableError: another program wrote it.
    """
    try:
        raw: dict[str, Any] = orjson.loads(record)
        if "collection" in raw:
            return PublishedAlias(**raw)
        return PublishedCollection(**raw | {"spec": CollectionSpec(**raw["spec"])})
    except (ValueError, TypeError, KeyError) as error:
        raise StoreUnavailableError(f"what its writer published is not of this program's version: {error}") from error
