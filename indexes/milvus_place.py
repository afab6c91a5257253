"""The file that says that a collection is on Milvus, under which name, and whether Milvus has all of it."""

import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import orjson

from indexes.durable import move, write_synced
from indexes.errors import StoreUnavailableError

FILE = "milvus.json"
# Of one that is being filled, or is to be dropped: no collection is searched there.
UNUSED = "milvus.unused.json"
# Of rows in Milvus: raise it when they are made otherwise.
LAYOUT = 1


@dataclass(frozen=True, slots=True)
class MilvusPlace:
    """Where the rows of one collection are.

    Attributes:
        name: of the collection in Milvus, ours alone.
        sent: version that Milvus had when the file was closed; None while it is open, or after a crash.
    """

    name: str
    sent: int | None = None

    @classmethod
    def new(cls) -> Self:
        """One that nobody has."""
        return cls(f"quarry_v{LAYOUT}_{uuid.uuid4().hex}")

    @classmethod
    def read(cls, folder: Path, file: str = FILE) -> Self | None:
        """Of the collection in a folder; None where it is not on Milvus.

        Raises:
            StoreUnavailableError: the file is not one of this program's.
        """
        try:
            raw = orjson.loads((folder / file).read_bytes())
            name, sent = raw["name"], raw["sent"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreUnavailableError(f"{folder / file} cannot be read: {error}") from error
        if not str(name).startswith(f"quarry_v{LAYOUT}_"):
            raise StoreUnavailableError(f"{folder / file} names {str(name)[:80]!r}: of another layout than {LAYOUT}")
        return cls(str(name), sent if isinstance(sent, int) else None)

    def write(self, folder: Path, file: str = FILE) -> Self:
        """Replace the file, on the disk when this returns.

        Raises:
            StoreUnavailableError: it cannot be written.
        """
        new = folder / f"{file}.new"
        try:
            write_synced(new, orjson.dumps(asdict(self)))
            move(new, folder / file)
        except OSError as error:
            raise StoreUnavailableError(f"{folder / file} cannot be written: {error.strerror}") from error
        return self

    def at(self, sent: int | None) -> Self:
        """The same with another version."""
        return replace(self, sent=sent)
