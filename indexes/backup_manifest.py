"""What a backup says about itself, in two files: the manifest, and the manifest's own checksum."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from indexes.catalog_rows import is_folder_name
from indexes.data_directory import CATALOG, COLLECTIONS, KEYS, STORE
from indexes.durable import Checksum, write_synced
from indexes.errors import BackupError
from indexes.plain_file import read_at_most

_FORMAT = 1
# A collection takes a few hundred bytes.
_MOST_BYTES = 64 << 20
_MANIFEST, _SEAL = "manifest.json", "manifest.json.sha256"
# Nothing else is ever read or written for a manifest, whoever made it.
_PATH = re.compile(rf"{re.escape(CATALOG)}|{re.escape(KEYS)}|{COLLECTIONS}/[0-9a-f]{{32}}/{re.escape(STORE)}")


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """A collection of the backup.

    Attributes:
        name: None for one that another is about to replace, or has replaced.
        uuid: its folder.
        schema_version: of its store.
    """

    name: str | None
    uuid: str
    documents: int
    chunks: int
    schema_version: int

    @classmethod
    def from_json(cls, raw: Any) -> "CollectionEntry":  # noqa: ANN401  what JSON holds
        """Inverse of ``asdict``.

        Raises:
            TypeError: it is something else.
        """
        entry = cls(**raw)
        counted = (entry.documents, entry.chunks, entry.schema_version)
        is_named = entry.name is None or type(entry.name) is str
        is_ours = type(entry.uuid) is str and is_folder_name(entry.uuid)
        if not is_named or not is_ours or not all(type(number) is int and number >= 0 for number in counted):
            raise TypeError(f"{str(raw)[:200]} is no collection")
        return entry


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A damaged collection that the backup does not have."""

    name: str | None
    uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """A backup as a whole.

    Attributes:
        created_at: UTC, ISO 8601, when its collections were looked at.
        program: version of the program that made it.
        schema_version: of the catalogue.
        files: by path in the backup.
        left_out: damaged collections. The catalogue names them, so that a restore shows that they are missing.
    """

    created_at: str
    program: str
    schema_version: int
    collections: tuple[CollectionEntry, ...]
    files: Mapping[str, Checksum]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(checksum.bytes for checksum in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {"format": _FORMAT, **asdict(self)}

    def write(self, folder: Path) -> None:
        """Put it on the disk."""
        data = orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2)
        write_synced(folder / _MANIFEST, data)
        write_synced(folder / _SEAL, _seal(data))

    @classmethod
    def read(cls, folder: Path) -> "BackupManifest":
        """Of a backup, whose files are not looked at.

        Raises:
            BackupError: there is none, it is damaged, or a newer program wrote it.
        """
        try:
            data = read_at_most(folder / _MANIFEST, _MOST_BYTES)
            seal = read_at_most(folder / _SEAL, _MOST_BYTES)
        except OSError as error:
            raise BackupError(f"{folder} is no backup: {error}") from error
        if seal != _seal(data):
            raise BackupError(f"{folder / _MANIFEST} is damaged: {_SEAL} has another checksum")
        try:
            return cls._from_json(orjson.loads(data))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackupError(f"{folder / _MANIFEST} is not understood: {error!r}") from error

    @classmethod
    def _from_json(cls, raw: Any) -> "BackupManifest":  # noqa: ANN401  what JSON holds
        if raw["format"] != _FORMAT:
            raise BackupError(f"the backup has format {raw['format']!r}; this program knows {_FORMAT}")
        strange = [path for path in raw["files"] if not _PATH.fullmatch(path)]
        if strange:
            raise BackupError(f"the backup names {strange[0]!r}, which is no file of a data directory")
        if type(raw["schema_version"]) is not int:
            raise TypeError(f"a schema version is a number, not {raw['schema_version']!r}")
        return cls(
            raw["created_at"],
            raw["program"],
            raw["schema_version"],
            tuple(map(CollectionEntry.from_json, raw["collections"])),
            {path: Checksum.from_json(entry) for path, entry in raw["files"].items()},
            tuple(LeftOut(**entry) for entry in raw.get("left_out", ())),
        )


def _seal(manifest: bytes) -> bytes:
    """As ``sha256sum`` writes it, so that it can check it."""
    return f"{Checksum.of(manifest).sha256}  {_MANIFEST}\n".encode()
