"""Way: how the server is asked to search, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.cli.eval.errors import UsageError

_HYBRID = "hybrid:"


class UnknownWayError(UsageError):
    """There is no way of that name."""


@dataclass(frozen=True, slots=True)
class Way:
    """A name, and what a request says.

    Attributes:
        requests: the fields that each of its searches adds; what several find is fused by reciprocal ranks here.
    """

    name: str
    requests: tuple[Mapping[str, Any], ...]

    @classmethod
    def named(cls, name: str) -> "Way":
        """One of ``default``, ``dense``, ``hybrid``, ``hybrid:WEIGHT``, ``lexical`` and ``rrf``.

        Raises:
            UnknownWayError: it is none of them.
        """
        if name in _REQUESTS:
            return cls(name, _REQUESTS[name])
        try:
            weight = float(name.removeprefix(_HYBRID))
        except ValueError:
            weight = -1.0
        if not name.startswith(_HYBRID) or not 0 <= weight <= 1:
            raise UnknownWayError(f"--way {name!r} is not one of {', '.join(_REQUESTS)}, {_HYBRID}0 to {_HYBRID}1")
        return cls(name, ({"hybrid": {"enabled": True, "weight": weight}},))

    @property
    def answers(self) -> bool:
        """The server can be asked to answer in this way."""
        return len(self.requests) == 1


_DENSE: Mapping[str, Any] = {"hybrid": {"enabled": False}}
# The weight is the share of the vectors.
_LEXICAL: Mapping[str, Any] = {"hybrid": {"enabled": True, "weight": 0.0}}
_REQUESTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "default": ({},),
    "dense": (_DENSE,),
    "hybrid": ({"hybrid": {"enabled": True}},),
    "lexical": (_LEXICAL,),
    "rrf": (_DENSE, _LEXICAL),
}
