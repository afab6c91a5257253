"""Where in the files of a folder any of many byte strings stands. A program of its own, see ``search_files``.

Reads ``{"folder": path, "needles": [hex, ...]}`` on stdin, writes ``{"files": n, "bytes": n, "found": [[path, offset,
needle], ...]}`` to stdout: for each file and needle the first place. A file that is gone when its turn comes has
nothing in it.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MIN_NEEDLE_BYTES = 8  # their first eight bytes are what they are looked up by

_BLOCK_BYTES = 4 << 20
# Multiplicative hashing, Knuth, The Art of Computer Programming, vol. 3, section 6.4: the golden ratio times 2**64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HASH_BITS = 20


class Needles:
    """Byte strings of ``MIN_NEEDLE_BYTES`` or more, found together in one pass.

    At every position of a file the hash of the eight bytes there is looked up in a table; what passes is compared.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        self._by_head: dict[bytes, list[tuple[int, bytes]]] = {}
        for number, needle in enumerate(needles):
            self._by_head.setdefault(needle[:MIN_NEEDLE_BYTES], []).append((number, needle))
        self.longest = max(map(len, needles), default=MIN_NEEDLE_BYTES)
        self._table = np.zeros(1 << _HASH_BITS, dtype=np.bool_)
        self._table[_hashed(np.frombuffer(b"".join(self._by_head), dtype="<u8"))] = True

    def find(self, block: bytes) -> Iterator[tuple[int, int]]:
        """(position, number of the needle), in no order."""
        for shift in range(MIN_NEEDLE_BYTES):
            count = (len(block) - shift) // MIN_NEEDLE_BYTES
            if count <= 0:
                return
            heads = np.frombuffer(block, dtype="<u8", count=count, offset=shift)
            for index in np.flatnonzero(self._table[_hashed(heads)]).tolist():
                position = shift + MIN_NEEDLE_BYTES * index
                for number, needle in self._by_head.get(block[position : position + MIN_NEEDLE_BYTES], ()):
                    if block.startswith(needle, position):
                        yield position, number


def search(folder: Path, needles: Sequence[bytes]) -> dict[str, object]:
    """See the module."""
    table, found = Needles(needles), []
    files = size = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                places = _places(file, table)
                size += file.tell()
        except FileNotFoundError:
            continue
        files += 1
        found += [[str(path.relative_to(folder)), offset, number] for number, offset in sorted(places.items())]
    return {"files": files, "bytes": size, "found": found}


def _places(file: BinaryIO, needles: Needles) -> dict[int, int]:
    """First offset of each needle that is in the file; blocks overlap, so that none hides on the border of two."""
    places: dict[int, int] = {}
    start, block = 0, b""
    while more := file.read(_BLOCK_BYTES):
        kept = block[-(needles.longest - 1) :]
        start += len(block) - len(kept)
        block = kept + more
        for position, number in needles.find(block):
            places[number] = min(start + position, places.get(number, start + position))
    return places


def _hashed(heads: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashed: NDArray[np.uint64] = (heads * _GOLDEN) >> np.uint64(64 - _HASH_BITS)
    return hashed


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(search(Path(asked["folder"]), [bytes.fromhex(needle) for needle in asked["needles"]]), sys.stdout)
