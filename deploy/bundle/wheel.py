"""A wheel, as far as a bundle looks into it."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile, ZipFile

from packaging.metadata import RawMetadata, parse_email
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from deploy.bundle.errors import BundleError

_LICENCE_TEXT = re.compile(r"licen[cs]e|copying|copyright|notice|eula", re.IGNORECASE)
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
# What the names of before PEP 600 stand for.
_OLDER_MANYLINUX = {"manylinux1_": (2, 5), "manylinux2010_": (2, 12), "manylinux2014_": (2, 17)}


@dataclass(frozen=True, slots=True)
class Wheel:
    """One distribution.

    Attributes:
        glibc: the oldest that it runs on; (0, 0) where it needs none.
        installed_bytes: of its files.
        licence_texts: by their paths in its metadata.
    """

    path: Path
    name: NormalizedName
    version: Version
    sha256: str
    glibc: tuple[int, int]
    installed_bytes: int
    metadata: RawMetadata
    licence_texts: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            BundleError: it is no wheel.
        """
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
            with ZipFile(path) as archive, path.open("rb") as stream:
                folders = {entry.partition("/")[0] for entry in archive.namelist()}
                (info,) = (folder for folder in folders if folder.endswith(".dist-info"))
                return cls(
                    path=path,
                    name=name,
                    version=version,
                    sha256=hashlib.file_digest(stream, "sha256").hexdigest(),
                    glibc=min(map(_glibc, tags)),
                    installed_bytes=sum(entry.file_size for entry in archive.infolist()),
                    metadata=parse_email(archive.read(f"{info}/METADATA"))[0],
                    licence_texts=dict(_licence_texts(archive, info)),
                )
        except (InvalidWheelFilename, BadZipFile, KeyError, ValueError) as error:
            raise BundleError(f"{path.name} is no wheel: {error}") from error

    @property
    def licence(self) -> str:
        """As its metadata state it, an SPDX expression if they can; empty where they do not."""
        if expression := self.metadata.get("license_expression"):
            return expression
        stated = self.metadata.get("license", "").strip()
        if stated and "\n" not in stated and stated.upper() != "UNKNOWN":
            return stated
        classified = [
            classifier.rpartition(" :: ")[2]
            for classifier in self.metadata.get("classifiers", [])
            if classifier.startswith("License :: ") and not classifier.endswith(":: OSI Approved")
        ]
        return "; ".join(classified)


def _glibc(tag: Tag) -> tuple[int, int]:
    if numbers := _MANYLINUX.match(tag.platform):
        return int(numbers[1]), int(numbers[2])
    return next((version for name, version in _OLDER_MANYLINUX.items() if tag.platform.startswith(name)), (0, 0))


def _licence_texts(archive: ZipFile, info: str) -> Iterator[tuple[str, str]]:
    """Those that the metadata bring: in the folder of licences, or by their names."""
    for entry in sorted(archive.namelist()):
        inside = entry.removeprefix(f"{info}/")
        if inside == entry or entry.endswith("/"):
            continue
        if inside.startswith(("licenses/", "license_files/")) or _LICENCE_TEXT.search(inside.rpartition("/")[2]):
            yield inside, archive.read(entry).decode(errors="replace")
