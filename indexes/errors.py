"""What can go wrong in this room.

IndexesError
├── CollectionNotFoundError  no collection of that name
├── DocumentNotFoundError    no document of that id in the collection
├── CollectionConflictError  the collection exists with another model, metric or chunking
├── InvalidVectorError       wrong dimension, NaN or infinite components
├── InvalidNameError         a collection name or document id outside its alphabet or length
├── DataDirectoryError       locked by another process, or written by a newer program
├── IndexFileError           the bytes of an index are damaged, or those of another index
├── SelfTestError            FAISS answers otherwise than NumPy
└── StoreUnavailableError    SQLite could not read, or could not promise that a write is on disk
"""


class IndexesError(Exception):
    """A collection refused or failed."""


class CollectionNotFoundError(IndexesError):
    """No collection of that name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}")


class DocumentNotFoundError(IndexesError):
    """No document of that id exists in the collection."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"there is no document {document_id!r}")


class CollectionConflictError(IndexesError):
    """The collection exists with another identity than the one asked for."""


class InvalidVectorError(IndexesError):
    """A vector has the wrong dimension or a component that is not finite."""


class InvalidNameError(IndexesError):
    """A collection name or document id is empty, too long or has characters that are not allowed."""


class DataDirectoryError(IndexesError):
    """The data directory cannot be used by this process."""


class StoreUnavailableError(IndexesError):
    """The store could not read, or could not promise that a write is durable."""


class IndexFileError(IndexesError):
    """The bytes of an index cannot be read, or belong to another index."""


class SelfTestError(IndexesError):
    """This build of FAISS, or the device it runs on, gives answers that NumPy does not."""
