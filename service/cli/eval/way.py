"""Way: how the server is asked to search, by name."""

from dataclasses import dataclass
from typing import Any

from service.cli.eval.errors import EvalError

_HYBRID = "hybrid:"


class UnknownWayError(EvalError):
    """There is no way of that name."""


@dataclass(frozen=True, slots=True)
class Way:
    """A name, and the fields that it adds to a request."""

    name: str
    fields: dict[str, Any]

    @classmethod
    def named(cls, name: str) -> "Way":
        """One of ``default``, ``dense``, ``hybrid``, ``hybrid:WEIGHT`` and ``lexical``.

        Raises:
            UnknownWayError: it is none of them.
        """
        if name in _FIELDS:
            return cls(name, _FIELDS[name])
        try:
            weight = float(name.removeprefix(_HYBRID))
        except ValueError:
            weight = -1.0
        if not name.startswith(_HYBRID) or not 0 <= weight <= 1:
            raise UnknownWayError(f"--way {name!r} is not one of {', '.join(_FIELDS)}, {_HYBRID}0 to {_HYBRID}1")
        return cls(name, {"hybrid": {"enabled": True, "weight": weight}})


# The weight is the share of the vectors.
_FIELDS: dict[str, dict[str, Any]] = {
    "default": {},
    "dense": {"hybrid": {"enabled": False}},
    "hybrid": {"hybrid": {"enabled": True}},
    "lexical": {"hybrid": {"enabled": True, "weight": 0.0}},
}
