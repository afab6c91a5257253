"""Where a sealed index is searched: on the host, or by a copy on a device that upkeep need not know more of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from indexes.base import Mask, Positions, Scores, Vectors
from indexes.ivf_pq import IvfPqIndex
from indexes.rows import Rows


@dataclass(frozen=True, slots=True)
class Placement:
    """What an operator is told of it.

    Attributes:
        device: ``cpu`` or ``cuda:0``.
        backend: whose kernels search the lists: ``cpu``, ``classic`` or ``cuvs``.
        refine_vectors: where the exact vectors lie that scans and batches are scored by.
        device_bytes: memory taken on the device, what is set aside for searches counted.
        most_candidates: that one search can take from the lists; None where nothing limits them.
        most_lists: that one search can visit; likewise.
        why: a sentence.
    """

    device: str
    backend: str
    refine_vectors: str
    device_bytes: int = 0
    most_candidates: int | None = None
    most_lists: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class IndexMemory:
    """Bytes that indexes take on one device.

    Attributes:
        vectors: exact vectors, and on the host the other columns of the rows.
        codes: of IVF-PQ: codes, ids and centroids.
        scratch: set aside for searches.
        words: of the newest rows.
    """

    vectors: int = 0
    codes: int = 0
    scratch: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.vectors + self.codes + self.scratch + self.words

    def __add__(self, other: "IndexMemory") -> "IndexMemory":
        return IndexMemory(
            self.vectors + other.vectors,
            self.codes + other.codes,
            self.scratch + other.scratch,
            self.words + other.words,
        )


ON_THE_HOST = Placement(
    "cpu", "cpu", "host", why="the index is searched on the CPU: index.device names it, or FAISS sees no GPU"
)


class DeviceIndex(Protocol):
    """A copy of a sealed index on a device. Every method may be called from any thread."""

    @property
    def placement(self) -> Placement:
        """Where it is, and what that takes."""

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        """As ``IvfPqIndex.candidates``, with ``count`` and ``nprobe`` cut to what the placement allows."""

    def scan(self, vectors: Vectors, query: Vectors, start: int, mask: Mask, count: int) -> Positions | None:
        """The best rows of a run of positions among those that ``mask`` lets through, in no order.

        They are chosen by scores of the device's precision: whoever wants ``k`` takes more of them and rescores.

        Args:
            vectors: ``(n, dimension)``: all rows by position; new ones are taken to the device first.
            query: ``(dimension,)``.
            mask: ``(length of the run,)``.

        Returns:
            ``(at most count,)``; None where the device does not hold the rows or a scan there does not pay.
        """


# Puts an index over the first rows of a table on a device. Given the copy that is in use until now, it may share what
# both need. Raises IndexesError where the device or its memory does not do.
Place: TypeAlias = Callable[[IvfPqIndex, Rows, DeviceIndex | None], DeviceIndex]
