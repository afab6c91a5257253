"""Records: the JSON objects of a file, a line each, and what their fields must be."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service.cli.eval.errors import EvalError


class DatasetError(EvalError):
    """A file of a collection is missing or is not what it should be; the message names file, line and field."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line; ``number`` counts from 1."""

    path: Path
    number: int
    fields: dict[str, Any]

    def wrong(self, field: str, said: str) -> DatasetError:
        """What to raise about a field."""
        return DatasetError(f"{self.path}:{self.number}: {field} {said}")

    def text(self, field: str, *, default: str | None = None) -> str:
        """A text that may be empty.

        Raises:
            DatasetError: it is none, or is not there and has no default.
        """
        value = self.fields.get(field)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.wrong(field, "is missing")
        if not isinstance(value, str):
            raise self.wrong(field, f"must be a text, not {_shown(value)}")
        return value

    def filled(self, field: str) -> str:
        """A text that says something.

        Raises:
            DatasetError: it is none, or it is blank.
        """
        value = self.text(field)
        if not value.strip():
            raise self.wrong(field, "is empty")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """Texts; none where the field is missing.

        Raises:
            DatasetError: they are no list of texts.
        """
        value = self.fields.get(field)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(field, f"must be a list of texts, not {_shown(value)}")
        return tuple(value)

    def flag(self, field: str) -> bool | None:
        """True or false; None where the field is missing.

        Raises:
            DatasetError: it is something else.
        """
        value = self.fields.get(field)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(field, f"must be true or false, not {_shown(value)}")
        return value


def records(path: Path) -> Iterator[Record]:
    """The lines that are not blank.

    Raises:
        DatasetError: the file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield Record(path, number, _object(path, number, line))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DatasetError(f"{path}:{number}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path}:{number}: must be an object, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004  a line of an error message
