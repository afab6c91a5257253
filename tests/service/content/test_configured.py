"""The screen of a configuration."""

import asyncio
from pathlib import Path

import pytest

from service.content.configured import configured_screen
from service.content.rule_file import RuleFileError


def test_a_file_that_does_not_do_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refused() -> str:
        with pytest.raises(RuleFileError) as error:
            asyncio.run(configured_screen(Path("rules.toml"), lambda *_: None))
        return str(error.value)

    assert refused() == f"content.rules: {tmp_path}/rules.toml: No such file or directory"
    (tmp_path / "rules.toml").write_text("[[rule]]")
    assert refused().startswith(f"content.rules: {tmp_path}/rules.toml: rule 1: ")
