"""Rows of unequal length as rectangles: how to pad them, and which of them to pad together."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right"]
Padded = tuple[NDArray[np.int64], NDArray[np.int64]]

# What a batch may grow to by padding; see ``length_groups``.
_PADDED_SHARE = 4 / 3
# Many rows of about this many tokens are one extreme of a batch: a short question.
_SHORT_ROW = 8


def pad(batch: Sequence[Sequence[int]], pad_id: int, side: Side = "right", *, length: int = 0) -> Padded:
    """Ids and mask, ``(n, longest)`` each, or ``(n, length)`` where that is longer; the mask is 1 where a token is."""
    length = max(length, *map(len, batch))
    ids = np.full((len(batch), length), pad_id, dtype=np.int64)
    mask = np.zeros((len(batch), length), dtype=np.int64)
    for row, tokens in enumerate(batch):
        place = slice(len(tokens)) if side == "right" else slice(length - len(tokens), length)
        ids[row, place] = tokens
        mask[row, place] = 1
    return ids, mask


def length_groups(lengths: Sequence[int], fixed: float) -> list[NDArray[np.int64]]:
    """Row numbers of each forward, longest first, such that padding and forwards together cost least.

    A forward costs ``fixed`` tokens and its rectangle. The groups are the cheapest of all cuts of the sorted rows, so
    never dearer than cutting wherever a row is shorter than 3/4 of its group's longest. That bounds the computed
    tokens by 4/3 of the true ones and ``fixed`` for each of those cuts, of which there are at most
    log(longest / shortest) / log(4/3).

    Args:
        lengths: tokens of each row, at least 1.
        fixed: cost of a forward beside its tokens, in tokens.
    """
    if not lengths:
        return []
    order = np.argsort(-np.asarray(lengths), kind="stable")
    tokens = np.asarray(lengths)[order]
    # Rows of one length are never worth parting, so a group begins where the length changes.
    starts = np.flatnonzero(np.r_[True, tokens[1:] != tokens[:-1]])
    ends = np.r_[starts[1:], len(tokens)]
    cost = np.zeros(len(starts) + 1)
    first = np.zeros(len(starts), dtype=np.int64)
    for last, end in enumerate(ends):
        begin = slice(last + 1)
        options = cost[begin] + fixed + (end - starts[begin]) * tokens[starts[begin]]
        first[last] = int(np.argmin(options))
        cost[last + 1] = options[first[last]]
    groups = []
    last = len(starts) - 1
    while last >= 0:
        groups.append(order[starts[first[last]] : ends[last]])
        last = int(first[last]) - 1
    return groups[::-1]


def largest_shapes(tokens: int, longest: int) -> list[tuple[int, int]]:
    """Rows and length of what a batch of ``tokens`` tokens may be padded to: many short rows, and few long ones.

    Args:
        tokens: of the batch, at least 1.
        longest: most tokens of a row.
    """
    lengths = sorted({min(tokens, longest), min(tokens, _SHORT_ROW)})
    return [(math.ceil(tokens * _PADDED_SHARE / length), length) for length in lengths]
