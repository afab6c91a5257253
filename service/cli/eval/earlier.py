"""Earlier: the report of another run, to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeFloat, ValidationError

from service.cli.configuration import told
from service.cli.eval.bootstrap import Bootstrap, Difference
from service.cli.eval.errors import EvalError
from service.cli.eval.evaluation import Evaluation
from service.cli.eval.samples import Samples
from service.cli.eval.way_result import differences

_SHOWN = 300
# A value, or a value and its weight, by query.
_PerQuery = Mapping[str, FiniteFloat | tuple[FiniteFloat, NonNegativeFloat]]


class EarlierReportError(EvalError):
    """The file is no report of ``quarry eval --json``; the message names file and field."""


class _Way(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    way: str
    per_query: dict[str, _PerQuery]


class _Collection(BaseModel):
    name: str
    ways: list[_Way]


class _Report(BaseModel):
    collections: list[_Collection]


@dataclass(frozen=True, slots=True)
class Compared:
    """One way of one collection, now less earlier."""

    collection: str
    way: str
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Samples by collection and way."""

    path: Path
    samples: Mapping[tuple[str, str], Sequence[Samples]]

    @classmethod
    def read(cls, path: Path) -> "Earlier":
        """Read what ``quarry eval --json`` printed.

        Raises:
            EarlierReportError: it is not that.
        """
        try:
            report = _Report.model_validate_json(path.read_bytes())
        except OSError as error:
            raise EarlierReportError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            raise EarlierReportError(f"{path} is no report of quarry eval: {told(error)[:_SHOWN]}") from None
        return cls(
            path,
            {
                (collection.name, way.way): [_samples(name, values) for name, values in way.per_query.items()]
                for collection in report.collections
                for way in collection.ways
            },
        )

    def require(self, collections: Sequence[str], ways: Sequence[str]) -> None:
        """See that something of it is measured again.

        Raises:
            EarlierReportError: nothing is.
        """
        if not any((collection, way) in self.samples for collection in collections for way in ways):
            held = ", ".join(f"{collection} {way}" for collection, way in self.samples)
            raise EarlierReportError(f"{self.path} has nothing that is measured now, but {held or 'nothing at all'}")

    def compared(self, evaluation: Evaluation, bootstrap: Bootstrap) -> list[Compared]:
        """Every collection and way that was measured then too."""
        return [
            Compared(collection.name, way.way, differences(bootstrap, way.samples, before))
            for collection in evaluation.collections
            for way in collection.ways
            if (before := self.samples.get((collection.name, way.way))) is not None
        ]


def _samples(name: str, values: _PerQuery) -> Samples:
    pairs = [value if isinstance(value, tuple) else (value, 1.0) for value in values.values()]
    return Samples.of(name, list(values), [value for value, _ in pairs], [weight for _, weight in pairs])
