"""The config.json of a Hugging Face model, field by field, with errors that name the field."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from service.capacity.errors import ModelConfigError

FILE_NAME = "config.json"
# Configurations of published models are kilobytes; a file of this size is something else.
_LARGEST_BYTES = 16 << 20
_LARGEST_NUMBER = 10**9


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the file says.

    Attributes:
        source: the file, for messages.
        values: as parsed.
    """

    source: str
    values: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file at ``path``, or the config.json of the folder there.

        Raises:
            ModelConfigError: it is missing, unreadable, too large, no JSON, or no object.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            if file.stat().st_size > _LARGEST_BYTES:
                raise ModelConfigError(f"{file} is larger than {_LARGEST_BYTES} bytes: it is no {FILE_NAME}")
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelConfigError(f"{file} cannot be read as a model's {FILE_NAME}: {error}") from error
        if not isinstance(values, dict):
            raise ModelConfigError(f"{file} holds a {type(values).__name__}, not an object")
        return cls(str(file), values)

    def has(self, name: str) -> bool:
        """The field is there and not null."""
        return self.values.get(name) is not None

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number above zero; ``default`` where the field is missing or null.

        Raises:
            ModelConfigError: it is missing without a default, or something else.
        """
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise ModelConfigError(f"{self.source} has no {name}")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_NUMBER:
            raise ModelConfigError(
                f"{self.source}: {name} is {value!r}, not a whole number between 1 and {_LARGEST_NUMBER}"
            )
        return value

    def index(self, name: str, default: int) -> int:
        """As ``count``, and zero is one."""
        if not self.has(name):
            return default
        return 0 if self.values[name] == 0 else self.count(name)

    def flag(self, name: str, default: bool) -> bool:
        """A truth value; ``default`` where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ModelConfigError(f"{self.source}: {name} is {value!r}, not true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A string; ``default`` where the field is missing or null.

        Raises:
            ModelConfigError: it is missing without a default, or something else.
        """
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise ModelConfigError(
                f"{self.source}: {name} is {value!r}, not a text" if value else f"{self.source} has no {name}"
            )
        return value

    def sequence(self, name: str) -> list[Any]:
        """A list; empty where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ModelConfigError(f"{self.source}: {name} is {value!r}, not a list")
        return value

    def section(self, name: str) -> "ModelConfig | None":
        """An object within; None where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ModelConfigError(f"{self.source}: {name} is {value!r}, not an object")
        return ModelConfig(f"{self.source}, {name}", value)
