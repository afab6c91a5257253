"""What can go wrong in this room.

IndexesError
├── CollectionNotFoundError  no collection of that name
├── AliasNotFoundError       no alias of that name
├── DocumentNotFoundError    no document of that id in the collection
├── CollectionConflictError  the collection exists with another model, metric or chunking, or its name is in use
├── InvalidVectorError       wrong dimension, NaN or infinite components
├── InvalidNameError         a collection name or document id outside its alphabet or length
├── DataDirectoryError       locked by another process, or written by a newer program
└── StoreUnavailableError    SQLite could not read, or could not promise that a write is on disk
"""


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


class InvalidVectorError(IndexesError):
    """A vector has the wrong dimension or a component that is not finite."""


class InvalidNameError(IndexesError):
    """A collection name or document id is empty, too long or has characters that are not allowed."""


class DataDirectoryError(IndexesError):
    """The data directory cannot be used by this process."""


class StoreUnavailableError(IndexesError):
    """The store could not read, or could not promise that a write is durable."""
