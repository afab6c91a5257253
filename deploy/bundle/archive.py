"""A folder as one file, the same bytes for the same content."""

import hashlib
import tarfile
from pathlib import Path


def archive(folder: Path, file: Path, epoch: int) -> str:
    """Write ``file``, a tar of ``folder``, and ``file.sha256`` beside it.

    Owners and times of the files are not kept, and of their rights only whether they can be run.

    Args:
        epoch: time of every file in it, in seconds.

    Returns:
        Its SHA-256.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in [folder, *sorted(folder.rglob("*"))]:
            tar.add(path, path.relative_to(folder.parent), recursive=False, filter=plain)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")
    return digest
