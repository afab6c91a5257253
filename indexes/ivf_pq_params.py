"""Which IVF-PQ suits how many rows of which length: arithmetic, free of FAISS."""

from dataclasses import dataclass

_MIN_POINTS_PER_LIST = 39  # FAISS's own bound (Clustering.h, min_points_per_centroid)
# Code lengths that FAISS's classic GPU kernels exist for (impl/IVFPQ.cu); others run on the CPU and cuVS only.
CLASSIC_GPU_BYTES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)


@dataclass(frozen=True, slots=True)
class IvfPqParams:
    """Shape of the index and the defaults of its searches.

    Attributes:
        nlist: inverted lists.
        m: bytes a row's code takes; divides the dimension.
        nprobe: lists visited by a search that names no other number.
        refine: candidates rescored for each hit wanted, likewise.
        rotated: vectors are rotated (OPQ) before they are compressed.
    """

    nlist: int
    m: int
    nprobe: int
    refine: int = 10
    rotated: bool = False

    @classmethod
    def for_rows(cls, rows: int, dimension: int) -> "IvfPqParams":
        """About 4 sqrt(n) lists, each with enough training rows; an eighth of the dimension in bytes.

        A quarter of the lists is visited, 16 at the least, until a measured curve says better.
        """
        nlist = max(1, min(int(4 * rows**0.5), rows // _MIN_POINTS_PER_LIST))
        return cls(nlist=nlist, m=code_bytes(dimension), nprobe=min(nlist, max(16, nlist // 4)))


def code_bytes(dimension: int) -> int:
    """Bytes of a code: the largest divisor of the dimension up to an eighth of it.

    A length that the classic GPU kernels take is preferred when it is at least half of that.
    """
    divisors = [m for m in range(1, max(1, dimension // 8) + 1) if dimension % m == 0]
    longest = divisors[-1]
    classic = max(m for m in divisors if m in CLASSIC_GPU_BYTES)
    return classic if 2 * classic >= longest else longest
