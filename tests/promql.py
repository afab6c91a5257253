"""What an expression of PromQL asks for: series with their matchers, and the labels that it groups by."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Names of ours, of recording rules, and what Prometheus itself has of a target.
_SELECTOR = re.compile(r"\b(quarry[a-z0-9_:]*|up)\b(?!\s*\()\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
# Of the scrape, not of the exposition.
OF_TARGET = frozenset({"job", "instance"})


@dataclass(frozen=True, slots=True)
class Selector:
    """One series as it is asked for."""

    name: str
    matchers: dict[str, tuple[str, str]]

    @property
    def labels(self) -> frozenset[str]:
        """That it names, those of the target left out."""
        return frozenset(self.matchers) - OF_TARGET

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether a sample with these labels, to which those of the target are unknown, is one of it."""
        return all(
            _matches(operator, value, labels.get(label, ""))
            for label, (operator, value) in self.matchers.items()
            if label not in OF_TARGET
        )


def selectors(expression: str) -> Iterator[Selector]:
    """All of an expression.

    Raises:
        ValueError: matchers that cannot be read.
    """
    for name, inside in _SELECTOR.findall(_without_grouping(expression)):
        matchers, at = {}, 0
        while at < len(inside.rstrip()):
            found = _MATCHER.match(inside, at)
            if found is None:
                raise ValueError(f"{inside!r} of {name} in {expression!r}")
            matchers[found[1]], at = (found[2], found[3]), found.end()
        yield Selector(name, matchers)


def grouped_by(expression: str) -> frozenset[str]:
    """Labels that it groups or joins by, those of the target left out."""
    named = (label.strip() for group in _GROUPING.findall(expression) for label in group.split(","))
    return frozenset(filter(None, named)) - OF_TARGET


def _without_grouping(expression: str) -> str:
    return _GROUPING.sub("", expression)


def _matches(operator: str, wanted: str, value: str) -> bool:
    if "$" in wanted:  # a variable of the dashboard
        return True
    equal = re.fullmatch(wanted, value) is not None if "~" in operator else wanted == value
    return equal is not operator.startswith("!")
