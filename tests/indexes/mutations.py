"""Reads mutated FAISS files in a process of its own, where a crash of FAISS is a result: ``mutations.py FIRST COUNT``.

Prints how many were refused, and how many read as an index that answers with rows that are there.
"""

import random
import struct
import sys

import faiss
import numpy as np

from indexes.errors import IndexFileError
from indexes.ivf_pq import IndexFacts, IvfPqIndex, IvfPqParams

ROWS, DIMENSION = 300, 8
EXTREMES = (0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**61, 2**63 - 1, 2**64 - 1)
KINDS = (b"IxPT", b"IwPQ", b"IxHN", b"IxMp", b"IwQR", b"IxRF", b"Imiq", b"ilar", b"ilod", b"sprs", b"LTra", b"PcAm")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three changes; half of them among the first thousand bytes, where what is not a vector lies."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(changed), 1000) if rng.random() < 0.5 else len(changed))
        match rng.randrange(6):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + 8] = struct.pack("<Q", rng.choice(EXTREMES))
            case 2:
                changed[at : at + 4] = rng.choice(KINDS)
            case 3:
                del changed[at:]
            case 4:
                changed[at:at] = changed[: rng.randrange(200)] * rng.randint(1, 5)
            case 5:
                start = data.find(b"IwPQ")
                changed[start : start + 4] = rng.choice(KINDS)
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def harmless(data: bytes, facts: IndexFacts, queries: np.ndarray) -> bool:
    """Whether it was read; what is read must answer within its rows."""
    try:
        index = IvfPqIndex.from_bytes(data, facts)
    except IndexFileError:
        return False
    _, positions = index.candidates(queries, ROWS, 4)
    if not -1 <= positions.min() <= positions.max() < ROWS:
        raise SystemExit(f"positions up to {positions.max()}")
    return True


def main(first: int, count: int) -> None:
    faiss.omp_set_num_threads(1)
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    made = [IvfPqIndex.train(vectors, "ip", IvfPqParams(4, 2, 4, rotated=rotated)) for rotated in (False, True)]
    read = 0
    for seed in range(first, first + count):
        index = made[seed % 2]
        sys.stderr.write(f"{seed}\n")  # the last one is the one that crashed
        read += harmless(mutated(index.to_bytes().tobytes(), random.Random(seed)), index.facts, vectors[:3])  # noqa: S311
    sys.stdout.write(f"{count - read} {read}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
