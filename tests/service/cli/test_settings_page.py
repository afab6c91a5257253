"""The page of the settings is that of the settings."""

import re
from pathlib import Path

import pytest

from service.cli.settings_page import UndescribedError, page
from service.llm_settings import LlmSettings, ManagedSettings
from service.settings import Settings, load_settings
from service.settings_group import Group

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
ROWS = re.findall(
    r"^\| `([a-zA-Z_.]+)` \| `(QUARRY_\w+)` \| (.+?) \| (.+?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE
)


def fields(settings: type[Settings | Group], prefix: str = "") -> set[str]:
    """Names of all settings below a group."""
    names = set()
    for name, field in settings.model_fields.items():
        below = {"llm": LlmSettings, "llm.NAME.managed": ManagedSettings}.get(prefix + name, field.annotation)
        if isinstance(below, type) and issubclass(below, Group):
            names |= fields(below, f"{prefix}{name}." + ("NAME." if name == "llm" else ""))
        else:
            names.add(prefix + name)
    return names


def test_the_page_is_current() -> None:
    """`make docs` writes it anew."""
    assert PAGE.read_text() == page()


def test_it_has_every_setting_once() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names))
    assert set(names) == fields(Settings)


@pytest.mark.parametrize(("name", "variable", "default"), [(row[0], row[1], row[3]) for row in ROWS])
def test_a_setting_can_be_given_by_its_variable(
    name: str, variable: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its default, or where it has none something that may be refused, but never as an unknown name."""
    if name.startswith("llm."):
        monkeypatch.setenv("QUARRY_LLM__MAIN__MODEL", "tiny")
        monkeypatch.setenv(
            "QUARRY_LLM__MAIN__MANAGED__WEIGHTS" if "managed" in name else "QUARRY_LLM__MAIN__URL", "http://a"
        )
    given = default.strip("`").strip('"') if default.startswith("`") else "1"
    monkeypatch.setenv(variable.replace("__NAME__", "__MAIN__"), given)
    try:
        load_settings()
    except ValueError as error:
        assert not default.startswith("`"), f"{name}: {error}"
        assert "extra_forbidden" not in str(error)


def test_a_setting_without_a_word_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Settings.model_json_schema()
    schema["$defs"]["ServerSettings"]["properties"]["new"] = {"type": "string"}
    monkeypatch.setattr(Settings, "model_json_schema", lambda: schema)
    with pytest.raises(UndescribedError, match=r"server\.new"):
        page()
