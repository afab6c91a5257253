"""Settings for a command, or the end of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from service.cli.console import fail
from service.settings import Settings, SettingsFileError, inherited_link, load_settings


def settings_or_fail(config: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """As ``load_settings``; what is wrong is said, and the command ends with exit code 1."""
    try:
        return load_settings(config, flags)
    except ValidationError as error:
        fail(told(error))
    except (SettingsError, SettingsFileError) as error:
        fail(str(error))


def link_or_fail() -> int | None:
    """As ``inherited_link``; what is wrong is said, and the command ends with exit code 1."""
    try:
        return inherited_link()
    except SettingsFileError as error:
        fail(str(error))


def told(error: ValidationError) -> str:
    """Each wrong field with its rule, in one line; no value, which may be a secret."""
    return "; ".join(": ".join(filter(None, _said(item))) for item in error.errors())


def _said(item: Mapping[str, Any]) -> tuple[str, str]:
    """Where it is wrong, empty for the whole, and what is."""
    return ".".join(map(str, item["loc"])), str(item["msg"]).removeprefix("Value error, ")
