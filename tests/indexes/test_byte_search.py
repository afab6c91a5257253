from pathlib import Path

import numpy as np
import pytest

from indexes import byte_search
from indexes.byte_search import search


def slow(folder: Path, needles: list[bytes]) -> list[list[object]]:
    """The exact twin: bytes.find for each."""
    found: list[list[object]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found += [
            [str(path.relative_to(folder)), data.find(needle), number]
            for number, needle in enumerate(needles)
            if needle in data
        ]
    return found


def letters(rng: np.random.Generator, size: int) -> bytes:
    return rng.integers(ord("a"), ord("e"), size=size, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("block", [64, 97, 1 << 20])
def test_it_finds_what_bytes_find_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(byte_search, "_BLOCK_BYTES", block)
    rng = np.random.default_rng(7)
    for name, size in (("a", 5000), ("b", 0), ("c", 7), ("d", 63), ("e", 64), ("sub/f", 3001)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(letters(rng, size))
    data = (tmp_path / "a").read_bytes() + (tmp_path / "sub/f").read_bytes()
    starts = [int(rng.integers(len(data) - 70)) for _ in range(200)]
    there = [data[start : start + int(rng.integers(8, 65))] for start in starts]
    absent = [letters(rng, rng.integers(12, 65)) for _ in range(200)]
    needles = [*there, *absent, data[:8], data[-8:], b"\x00" * 8, there[0], there[0][:8] + b"zz"]
    said = search(tmp_path, needles)
    assert sorted(map(tuple, said["found"])) == sorted(map(tuple, slow(tmp_path, needles)))  # type: ignore[call-overload]
    assert len(said["found"]) > 200  # type: ignore[arg-type]
    assert (said["files"], said["bytes"]) == (6, 5000 + 7 + 63 + 64 + 3001)


def test_no_needles_and_no_files_are_searched_all_the_same(tmp_path: Path) -> None:
    assert search(tmp_path, [b"12345678"]) == {"files": 0, "bytes": 0, "found": []}
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert search(tmp_path, []) == {"files": 1, "bytes": 100, "found": []}
