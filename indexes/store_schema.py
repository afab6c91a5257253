"""The schema of a store, and the way to it from those of older programs."""

from indexes.checksums import OF_CHUNK, OF_DOCUMENT, OF_VECTOR

SCHEMA_VERSION = 5
# The index is there to add them up without reading the vectors.
_SENTENCES = """
CREATE TABLE sentences (
    chunk INTEGER PRIMARY KEY REFERENCES chunks(row), count INTEGER NOT NULL, spans BLOB NOT NULL,
    vectors BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE INDEX sentences_by_count ON sentences(count);
"""
# Chunk row ids are AUTOINCREMENT, so never reused: a stale id in memory can miss, but cannot name another chunk.
# A document's row is the version of its put, never reused either: documents and their chunks ascend together.
SCHEMA = (
    """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    metadata TEXT NOT NULL, url TEXT, format TEXT NOT NULL, content_hash BLOB NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0, source_hash BLOB);
CREATE INDEX documents_by_metadata ON documents(metadata) WHERE metadata <> '{}';
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents(row),
    ordinal INTEGER NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    heading_path TEXT NOT NULL, page INTEGER, checksum INTEGER NOT NULL DEFAULT 0);
CREATE INDEX chunks_by_document ON chunks(document);
CREATE TABLE vectors (
    chunk INTEGER PRIMARY KEY REFERENCES chunks(row), vector BLOB NOT NULL, checksum INTEGER NOT NULL DEFAULT 0);
CREATE TABLE operations (
    version INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, kind TEXT NOT NULL, document_id TEXT NOT NULL,
    filter TEXT);
CREATE INDEX operations_by_document ON operations(document_id, seq);
CREATE INDEX operations_with_filter ON operations(seq, filter) WHERE filter IS NOT NULL;
"""
    + _SENTENCES
)
# By the version they lead to.
MIGRATIONS = {
    2: """
ALTER TABLE operations ADD COLUMN filter TEXT;
CREATE INDEX operations_with_filter ON operations(seq, filter) WHERE filter IS NOT NULL;
CREATE INDEX documents_by_metadata ON documents(metadata) WHERE metadata <> '{}';
""",
    # What is there is taken for what was stored: nobody can tell any more.
    3: f"""
ALTER TABLE documents ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vectors ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE documents SET checksum = {OF_DOCUMENT};
UPDATE chunks SET checksum = {OF_CHUNK};
UPDATE vectors SET checksum = {OF_VECTOR};
""",  # noqa: S608
    4: "ALTER TABLE documents ADD COLUMN source_hash BLOB;",
    5: _SENTENCES,
}
