"""Profile: a named course of a load test, as rates relative to the capacity of the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from loadtests.shape import Phase, Shape

_HALF = 0.5
_OVERLOAD = 3.0
_SPIKE = 2.0
# Recovery is looked for in windows of five seconds, and has ten of them to come.
_LEAST_RECOVERY_S = 15.0


class Profile(StrEnum):
    """What may be asked for."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    OVERLOAD = "overload"
    SOAK = "soak"
    CAPACITY = "capacity"

    @property
    def course(self) -> "Course | None":
        """What is offered; None for the search for the capacity alone."""
        return _COURSES.get(self)


@dataclass(frozen=True, slots=True)
class Course:
    """What a profile offers.

    Attributes:
        seconds: of its main phase, where none are asked for.
        shape: of (seconds of the main phase, capacity in arrivals a second).
        base: of the capacity, the share that is offered first. A capacity that is given as a base rate is that over it.
    """

    seconds: float
    shape: Callable[[float, float], Shape]
    base: float = _HALF


def _steady(seconds: float, capacity: float) -> Shape:
    return Shape((Phase.steady("load", seconds, capacity * _HALF),))


def _ramp(seconds: float, capacity: float) -> Shape:
    return Shape((Phase("load", seconds, 0.1 * capacity, capacity),))


def _spike(seconds: float, capacity: float) -> Shape:
    """A sixth of the time is the spike."""
    base, length = capacity * _HALF, seconds / 6
    spike = Phase.steady("spike", length, capacity * _SPIKE)
    rest = max(seconds - 3 * length, _LEAST_RECOVERY_S)
    return Shape((Phase.steady("baseline", 2 * length, base), spike, Phase.steady("recovery", rest, base)))


def _overload(seconds: float, capacity: float) -> Shape:
    """A quarter as long before it, and as long again after it, but time to recover at least."""
    base, around = capacity * _HALF, max(seconds / 4, _LEAST_RECOVERY_S)
    overload = Phase.steady("overload", seconds, capacity * _OVERLOAD)
    return Shape((Phase.steady("baseline", around, base), overload, Phase.steady("recovery", around, base)))


_COURSES: Mapping[Profile, Course] = MappingProxyType(
    {
        Profile.STEADY: Course(120.0, _steady),
        Profile.RAMP: Course(120.0, _ramp, 0.1),
        Profile.SPIKE: Course(120.0, _spike),
        Profile.OVERLOAD: Course(120.0, _overload),
        Profile.SOAK: Course(1800.0, _steady),
    }
)
