"""How the sealed rows are searched for one query: by their lists, or exactly where a filter leaves few of them."""

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Literal

from indexes.base import SearchParams
from indexes.view import Sealed

# A row that is rescored exactly takes about as long as this many codes of a list (384 dimensions, 48-byte codes, one
# thread: 80-100 ns against 35-45 ns).
_CODES_PER_ROW = 2
# A search of lists on a card takes 0.2-0.5 ms whatever it visits, as long as this many codes take a thread.
_CODES_PER_LAUNCH = 10_000

Way = Literal["lists", "scan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One query over the sealed rows.

    Attributes:
        way: ``lists`` over-fetches candidates and drops those that are not visible; ``scan`` scores every visible row.
        nprobe: lists visited.
        candidates: rows taken from them.
        selectivity: share of the rows that are expected to be visible.
        is_cut: more was wanted of one or the other than the kernels of a device take.
    """

    way: Way
    nprobe: int
    candidates: int
    selectivity: float
    is_cut: bool = False

    def as_scan(self) -> "Plan":
        """The same where the lists held too few visible rows."""
        return replace(self, way="scan")


def plan(sealed: Sealed, params: SearchParams, selectivity: float) -> Plan:
    """The cheaper way.

    Where a share s of the rows is visible, 1/s as many candidates hold as many visible ones. They also lie further
    away: 1/sqrt(s) as many lists keep the recall of the unfiltered search (measured at s = 0.5).
    """
    rows, own = sealed.index.size, sealed.index.params
    share = max(selectivity, 1 / rows)
    nprobe = min(own.nlist, ceil((params.nprobe or own.nprobe) / sqrt(share)))
    candidates = min(rows, ceil(params.top_k * (params.refine or own.refine) / share))
    by_lists = nprobe / own.nlist * rows + _CODES_PER_ROW * candidates
    by_scan = _CODES_PER_ROW * selectivity * rows
    if sealed.on_device is None:
        return Plan("scan" if by_scan <= by_lists else "lists", nprobe, candidates, selectivity)
    placement = sealed.on_device.placement
    taken = min(candidates, placement.most_candidates or candidates)
    visited = min(nprobe, placement.most_lists or nprobe)
    way: Way = "scan" if by_scan <= _CODES_PER_LAUNCH + _CODES_PER_ROW * taken else "lists"
    return Plan(way, visited, taken, selectivity, is_cut=(visited, taken) != (nprobe, candidates))
