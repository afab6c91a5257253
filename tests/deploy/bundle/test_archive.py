"""The file that a bundle becomes."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from deploy.bundle.archive import archive
from deploy.bundle.errors import BundleError
from deploy.bundle.folder import CHECKSUMS, sign_off

EPOCH = 1_000_000_000


def folder(parent: Path, names: list[str], when: int) -> Path:
    made = parent / "quarry-1"
    for name in names:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
        os.utime(made / name, (when, when))
    (made / "install.sh").chmod(0o775)
    return made


def check_sums(place: Path, sums: str) -> None:
    program = shutil.which("sha256sum")
    assert program
    subprocess.run([program, "--check", "--strict", sums], cwd=place, check=True, capture_output=True)


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    names = ["install.sh", "wheels/b.whl", "wheels/a.whl"]
    digests = []
    for place, order in (("one", names), ("other", names[::-1])):
        (tmp_path / place).mkdir()
        made = folder(tmp_path / place, order, when=len(place))
        (made / "wheels").chmod(0o700 if place == "one" else 0o755)
        sign_off(made)
        digests.append(archive(made, tmp_path / place / "quarry.tar", EPOCH))
    assert digests[0] == digests[1]
    file = tmp_path / "one" / "quarry.tar"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digests[0]
    check_sums(file.parent, "quarry.tar.sha256")
    with tarfile.open(file) as tar:
        entries = {entry.name: entry for entry in tar}
    assert set(entries) == {"quarry-1", *(f"quarry-1/{name}" for name in ("wheels", CHECKSUMS, *names))}
    assert entries["quarry-1/install.sh"].mode == 0o755
    assert {entry.uid for entry in entries.values()} == {0}
    assert {entry.mtime for entry in entries.values()} == {EPOCH}


def test_every_file_has_a_checksum_that_sha256sum_takes(tmp_path: Path) -> None:
    made = folder(tmp_path, ["install.sh", "models/a model/weights", "docs/x.md"], when=1)
    sign_off(made)
    assert len((made / CHECKSUMS).read_text().splitlines()) == 3
    check_sums(made, CHECKSUMS)


def test_a_name_that_a_list_of_checksums_cannot_hold_is_refused(tmp_path: Path) -> None:
    made = folder(tmp_path, ["install.sh", "models/a\nb"], when=1)
    with pytest.raises(BundleError, match=r"models/a\\nb"):
        sign_off(made)
