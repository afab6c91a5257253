"""What can go wrong in this room.

IndexesError
├── CollectionNotFoundError  no collection of that name
├── AliasNotFoundError       no alias of that name
├── DocumentNotFoundError    no document of that id in the collection
├── CollectionConflictError  the collection exists with another model, metric or chunking, or its name is in use
│   ├── AliasedError         aliases name the collection, which is to go
│   └── TooManyCollectionsError  it would be one more than there may be
├── InvalidVectorError       wrong dimension, NaN or infinite components
├── InvalidNameError         a collection name or document id outside its alphabet or length
│   └── UnknownLanguageError     no text can be read by that language
├── InsufficientMemoryError  an index would not fit beside the one it replaces
├── NothingSealedError       there is no compressed index that could be calibrated
├── DeviceError              an index cannot be searched on the device that was asked for
├── UnknownRowError          an index does not know a row of its store
├── InvalidFilterError       a filter that breaks a rule of the grammar, at the path it names
├── DataDirectoryError       it cannot be written to, or was written by a newer program
│   └── DataDirectoryInUseError  another process has its lock
├── SnapshotError            a snapshot could not be written or removed
├── BackupError              a backup could not be made, verified or restored
│   ├── BackupConflictError  the place it should go to is taken
│   └── NewerDataError       what should be copied was written by a newer program
├── ErasureError             what was deleted could not be removed from the files
├── LexicalError             words cannot be looked for, or their index not be written
├── IndexFileError           the bytes of an index are damaged, or those of another index
├── SelfTestError            FAISS answers otherwise than NumPy
├── RowTooLargeError         a chunk or its document's metadata are more than Milvus takes
├── MigratedAlreadyError     a collection is where it should go
├── UnequalRowsError         Milvus has other rows than the store
└── StoreUnavailableError    SQLite could not read, or could not promise that a write is on disk
    ├── MilvusUnavailableError   Milvus did not answer, or refused
    └── MigrationError       data of an older program could not be brought to this one's schema
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self


class IndexesError(Exception):
    """A collection refused or failed."""


class CollectionNotFoundError(IndexesError):
    """No collection of that name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}")


class AliasNotFoundError(IndexesError):
    """No alias of that name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no alias {name!r}")


class DocumentNotFoundError(IndexesError):
    """No document of that id exists in the collection."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"there is no document {document_id!r}")


class CollectionConflictError(IndexesError):
    """The collection exists with another identity than the one asked for, or its name or its state is in the way."""


class AliasedError(CollectionConflictError):
    """Aliases name the collection, which is to go.

    Args:
        aliases: those that may be told; there may be others.
    """

    def __init__(self, name: str, aliases: Sequence[str]) -> None:
        noun, them = ("alias", "it") if len(aliases) == 1 else ("aliases", "them")
        listed = "".join(f" {alias!r}," for alias in aliases).removesuffix(",")
        super().__init__(f"collection {name!r} is named by the {noun}{listed}: remove {them} first")
        self.name = name
        self.aliases = aliases


class TooManyCollectionsError(CollectionConflictError):
    """The collection would be one more than there may be."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__(f"collection {name!r} is not created: there are as many as there may be; the limit is {most}")


class InvalidVectorError(IndexesError):
    """A vector has the wrong dimension or a component that is not finite."""


class InvalidNameError(IndexesError):
    """A collection name or document id is empty, too long or has characters that are not allowed."""


class InsufficientMemoryError(IndexesError):
    """What would be built does not fit beside what it replaces."""


class NothingSealedError(IndexesError):
    """No rows, or too few, are searched by a compressed index: there is nothing to choose a setting for.

    Attributes:
        live: rows that are sealed and live.
        least: that a curve takes.
    """

    def __init__(self, live: int, least: int, collection: str | None = None) -> None:
        of = "" if collection is None else f" of collection {collection!r}"
        super().__init__(
            f"{live} rows{of} are in the compressed index, and choosing its setting takes {least}: "
            "all others are searched exactly, which needs no setting"
        )
        self.live = live
        self.least = least

    def of(self, collection: str) -> Self:
        """The same from whoever knows the collection's name."""
        return type(self)(self.live, self.least, collection)


class DeviceError(IndexesError):
    """The device is not there, this build of FAISS knows none, or no kernel of it searches an index of this shape."""


class UnknownRowError(IndexesError):
    """An index was saved from another store, or is not what was saved."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the store is not in the index")


class InvalidFilterError(IndexesError):
    """A filter breaks a rule of the grammar.

    Attributes:
        path: of the member that does, as in ``filters[1].value``; ``filter`` is the whole.
        rule: that it breaks.
    """

    def __init__(self, path: str, rule: str, shown: str | None = None) -> None:
        super().__init__(f"{path} {rule}" + ("" if shown is None else f"; got {shown}"))
        self.path = path
        self.rule = rule


class UnknownLanguageError(InvalidNameError):
    """No text can be read by that language."""

    def __init__(self, language: str, known: Sequence[str]) -> None:
        super().__init__(f"{language!r} is no language of a collection; there are {', '.join(known)}")


class DataDirectoryError(IndexesError):
    """The data directory cannot be used by this process."""


class DataDirectoryInUseError(DataDirectoryError):
    """Another process owns the data directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(f"{data_dir} is in use by another process")


class StoreUnavailableError(IndexesError):
    """The store could not read, or could not promise that a write is durable."""


class RowTooLargeError(IndexesError):
    """A document has more of something than a row in Milvus takes; nothing of it was stored."""

    def __init__(self, document_id: str, what: str, count: int, limit: int) -> None:
        super().__init__(f"document {document_id!r} has {count} {what}; in a collection on Milvus the limit is {limit}")


class MigratedAlreadyError(IndexesError):
    """The collection's vectors are where they were to go."""

    def __init__(self, where: str) -> None:
        super().__init__(f"its vectors are searched {where} already")


class UnequalRowsError(IndexesError):
    """Milvus has other rows than the store, or other contents of them."""


class MilvusUnavailableError(StoreUnavailableError):
    """Milvus did not answer in time, or refused.

    A write that it meets is in the store, unacknowledged, and is sent again; nothing that was acknowledged is lost.
    """


class MigrationError(StoreUnavailableError):
    """A file of an older schema could not be migrated; it is as it was."""


class SnapshotError(IndexesError):
    """A snapshot of an index could not be written, verified or removed; the store is untouched by that."""


class LexicalError(IndexesError):
    """The lexical index failed; it is derived, and neither a write nor a search by vectors depends on it."""


class LostWordsError(LexicalError):
    """Files that the lexical index should go on from are not those that were written; it is built from the store."""


class IndexFileError(IndexesError):
    """The bytes of an index cannot be read, or belong to another index."""


class SelfTestError(IndexesError):
    """This build of FAISS, or the device it runs on, gives answers that NumPy does not."""


class BackupError(IndexesError):
    """A backup could not be made, is damaged, or could not be restored; nothing half done is left."""


class BackupConflictError(BackupError):
    """The folder for a backup, or the data directory for a restore, has something in it."""


class NewerDataError(BackupError):
    """What should be copied was written by a newer program: only that one can say that it is whole."""


class ErasureError(IndexesError):
    """Deleted bytes could not be removed from the files of a collection; it can be tried again."""
