"""How long a closed collection takes to answer again, and the memory it then has."""

from dataclasses import dataclass

from indexes.base import Vectors
from service.cli.bench.search.first_searches import FirstSearches
from service.cli.bench.search.subject import Subject


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Medians of processes that open a collection and search it once, several times.

    Attributes:
        rows: of the collection.
        snapshot_s: with a snapshot.
        no_snapshot_s: from the store alone.
        memory_bytes: that a process grew by, with a snapshot; exact vectors are among it.
    """

    rows: int
    snapshot_s: float
    no_snapshot_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Seconds that a million rows more take: the line through two sizes."""

    snapshot_s_per_million_rows: float
    no_snapshot_s_per_million_rows: float

    @classmethod
    def between(cls, small: ColdStart, large: ColdStart) -> "Slope":
        """Of two collections of different sizes."""
        millions = (large.rows - small.rows) / 1e6
        saved, unsaved = large.snapshot_s - small.snapshot_s, large.no_snapshot_s - small.no_snapshot_s
        return cls(round(saved / millions, 2), round(unsaved / millions, 2))


def cold_start(subject: Subject, rows: int, query: Vectors) -> ColdStart:
    """Close ``subject`` and start from it in other processes; it has no snapshot afterwards.

    Args:
        rows: that it holds.
        query: ``(dimension,)``.
    """
    subject.save_snapshot()
    subject.close()
    saved = FirstSearches.timed(subject, query)
    subject.forget_snapshots()
    unsaved = FirstSearches.timed(subject, query)
    return ColdStart(rows, round(saved.seconds, 3), round(unsaved.seconds, 3), saved.memory_bytes)
