from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from indexes import upkeep as upkeeping
from indexes.base import SearchParams, Vectors
from indexes.collection import Collection
from indexes.errors import InsufficientMemoryError
from indexes.shadow import Shadowed

Open = Callable[[], Collection]
Put = Callable[..., str]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION = 16


def fill(collection: Collection, put: Put, vectors: Vectors, first: int, last: int) -> None:
    """Documents of eight chunks each."""
    for i in range(first, last):
        put(collection, f"f{i}", list("abcdefgh"), vectors[8 * i : 8 * i + 8])


def sample(collection: Collection, query: Vectors) -> None:
    """A search that waits to be compared."""
    view = collection._live.now
    rows = np.empty(0, dtype=np.int64)
    collection.upkeep.shadow._waiting.append(Shadowed(view, view.version, query, SearchParams(), rows))


@pytest.mark.parametrize("error", [MemoryError("no room"), ValueError("no such shape"), OSError("no disk")])
def test_what_failed_is_not_tried_again_at_once_whatever_is_sampled(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    collection, vectors, tries = open_collection(), clustered(320, DIMENSION, 1), []
    fill(collection, put, vectors, 0, 40)

    def failing(*_: object) -> None:
        tries.append(error)
        raise error

    monkeypatch.setattr(upkeeping, "train_for", failing)
    with pytest.raises(type(error)):
        collection.upkeep.step()
    assert not collection.upkeep.is_due
    sample(collection, vectors[0])
    assert collection.upkeep.is_due
    assert collection.upkeep.step() is None
    assert collection.upkeep.shadow.estimate.searches == 1
    assert len(tries) == 1
    assert list(collection.describe().trouble) == [str(error)]


def test_trouble_ends_with_what_it_kept_from_being_done(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(320, DIMENSION, 1)
    fill(collection, put, vectors, 0, 40)
    with monkeypatch.context() as patched, pytest.raises(InsufficientMemoryError):
        patched.setattr(upkeeping, "train_for", lambda *_: upkeeping.require_memory(1, "it", 0))
        collection.upkeep.step()
    assert collection.describe().trouble
    collection.rebuild()
    assert collection.describe().trouble == []


def test_searches_of_the_index_before_are_not_held_against_a_new_one(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(320, DIMENSION, 1)
    fill(collection, put, vectors, 0, 40)
    while collection.upkeep.step():
        pass
    swap = collection._live.replace

    def swap_late(*given: Any, **named: Any) -> None:  # noqa: ANN401
        sample(collection, vectors[0])
        swap(*given, **named)

    monkeypatch.setattr(collection._live, "replace", swap_late)
    collection.rebuild()
    assert collection.upkeep.shadow.waiting == 0
