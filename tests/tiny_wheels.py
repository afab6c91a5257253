"""Wheels of a few lines, which pip installs."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def tiny_wheel(
    folder: Path,
    name: str,
    metadata: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Version 1.0 of a distribution.

    Args:
        metadata: further lines, such as ``License-Expression: MIT``.
        files: what is installed.
        texts: licences, by their paths in the metadata.
    """
    path, info = folder / f"{name}-1.0-{tag}.whl", f"{name}-1.0.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *metadata]
    contents = {
        **(files or {}),
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **{f"{info}/{place}": text for place, text in (texts or {}).items()},
    }
    records = [f"{each},{_digest(text)},{len(text.encode())}\n" for each, text in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*records, f"{info}/RECORD,,\n"])
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in contents.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return path


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
