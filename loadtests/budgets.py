"""Budgets: what a load test is held to, read from a file in which every key counts."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from loadtests.figures import Figures
from loadtests.objective import Milliseconds, Objective
from loadtests.profile import Profile
from loadtests.route import Route
from loadtests.verdict import Check

DEFAULT = Path(__file__).with_name("budgets.toml")

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_LEAST = {"goodput_share", "goodput_of_peak", "found_share", "capacity_per_s"}


class BudgetsError(Exception):
    """The file cannot be read, or says what makes no sense; the message names the place."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """The limits of one profile; what is left out has none.

    Attributes:
        goodput_share: least share of the offered requests that met their objective.
        goodput_of_peak: least goodput of an overload, relative to the most that any step of the search had.
        found_share: least of that most, relative to the goodput of the overload: below it the search found too little,
            and three times of that was no overload.
        capacity_per_s: least capacity.
        missed_share, error_share, shed_share, degraded_share: most, of the offered requests.
        recovery_s: most, after an overload.
        memory_mib_per_hour, descriptors_per_hour, threads_per_hour: most growth of the server.
        p99_ms: most, by route, of the whole reply from the intended start.
        ttft_p99_ms: most, by route, of the first text.
    """

    goodput_share: Share | None = None
    goodput_of_peak: Amount | None = None
    found_share: Share | None = None
    capacity_per_s: Amount | None = None
    missed_share: Share | None = None
    error_share: Share | None = None
    shed_share: Share | None = None
    degraded_share: Share | None = None
    recovery_s: Amount | None = None
    memory_mib_per_hour: Amount | None = None
    descriptors_per_hour: Amount | None = None
    threads_per_hour: Amount | None = None
    p99_ms: Mapping[Route, Milliseconds] = Field(default_factory=dict)
    ttft_p99_ms: Mapping[Route, Milliseconds] = Field(default_factory=dict)

    def checks(self, figures: Figures) -> list[Check]:
        """Every limit beside its figure; of a route that was not asked there is none."""
        set_ = self.model_dump(exclude={"p99_ms", "ttft_p99_ms"}, exclude_none=True)
        checks = [Check(name, figures.values[name], limit, is_most=name not in _LEAST) for name, limit in set_.items()]
        for name, kind, limits in (("p99_ms", "total", self.p99_ms), ("ttft_p99_ms", "ttft", self.ttft_p99_ms)):
            for route, limit in limits.items():
                if told := figures.latency_ms.get(route):
                    value = told[kind]["p99"] if kind in told else None
                    checks.append(Check(f"{name}.{route}", value, limit, is_most=True))
        return checks


class Budgets(_Strict):
    """The whole file.

    Attributes:
        timeout_s: after which the driver gives a request up.
        late_s: by how much one may start late and still be no missed start.
    """

    objectives: Mapping[Route, Objective]
    profiles: Mapping[Profile, Limits]
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    late_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _is_whole(self) -> "Budgets":
        missing = [route.value for route in Route if route not in self.objectives]
        missing += [f"profiles.{profile}" for profile in Profile if profile not in self.profiles]
        if missing:
            raise ValueError(f"nothing is said of {', '.join(missing)}")
        for route, objective in self.objectives.items():
            if objective.ttft_ms is not None and not route.is_streamed:
                raise ValueError(f"objectives.{route}.ttft_ms is {objective.ttft_ms:g}, but {route} is not streamed")
        return self

    @classmethod
    def read(cls, path: Path) -> "Budgets":
        """Of a TOML file.

        Raises:
            BudgetsError: it is none, or an unknown key or a value out of bounds is in it.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise BudgetsError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BudgetsError(f"{path}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise BudgetsError(f"{path}: {place}: {first['msg']}") from None
