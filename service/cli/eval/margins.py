"""Margins: what the first way is held to beside another, query by query."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.errors import UsageError
from service.cli.eval.evaluation import CollectionResult, Evaluation
from service.cli.eval.targets import Verdict
from service.cli.eval.way_result import differences

_METRIC = "ndcg@10"


class MarginError(UsageError):
    """It names no way that the first one could be compared with."""


@dataclass(frozen=True, slots=True)
class Margin:
    """The first way beside another, in nDCG@10, by the 95 % interval of the paired difference.

    Attributes:
        name: of the other way, alone or behind that of a collection, with a dot between.
        is_better: all of the interval is above 0; else it is enough that not all of it is below.
    """

    name: str
    is_better: bool

    @classmethod
    def parsed(cls, text: str, collections: Sequence[str], ways: Sequence[str], *, is_better: bool) -> "Margin":
        """A margin over one of these ways but the first.

        Raises:
            MarginError: it is none.
        """
        option = "--beats" if is_better else "--not-below"
        if not any(text in _names(collection, way) for collection in collections for way in ways[1:]):
            known = ", ".join(ways[1:]) or "none; --way names them"
            raise MarginError(f"{option} {text}: is not [COLLECTION.]WAY with a way beside the first: {known}")
        return cls(text, is_better)

    def verdicts(self, evaluation: Evaluation, bootstrap: Bootstrap) -> list[Verdict]:
        """One for each collection and way of that name."""
        return [
            self._verdict(collection, way.way, bootstrap)
            for collection in evaluation.collections
            for way in collection.ways[1:]
            if self.name in _names(collection.name, way.way)
        ]

    def _verdict(self, collection: CollectionResult, other: str, bootstrap: Bootstrap) -> Verdict:
        first, second = collection.ways[0], next(way for way in collection.ways if way.way == other)
        found = {each.name: each for each in differences(bootstrap, first.samples, second.samples)}.get(_METRIC)
        end = "lower" if self.is_better else "upper"
        name = f"{collection.name}.{first.way}.{_METRIC} less {other}, {end} end"
        value = None if found is None else found.low if self.is_better else found.high
        return Verdict(name, value, 0.0, is_most=False, is_strict=self.is_better)


def _names(collection: str, way: str) -> tuple[str, ...]:
    return way, f"{collection}.{way}"
