"""Rule files, and screens by them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from service.content.rule_file import read_rules
from service.content.rule_screen import RuleScreen


class CountingScreen(RuleScreen):
    """A screen by the rules of a text, and what it counted."""

    def __init__(self, path: Path) -> None:
        self.counted = Counter[tuple[str, str, str]]()
        super().__init__(read_rules(path), lambda *labels: self.counted.update([labels]))

    def written(self, *pieces: str) -> tuple[str, bool]:
        """An answer of these pieces as it is shown, and whether it is blocked."""
        screen, shown = self.answer("r1"), ""
        assert screen is not None
        for piece in pieces:
            shown += screen.feed(piece)
            if screen.is_blocked:
                return shown, True
        return shown + screen.flush(), screen.is_blocked


@pytest.fixture(scope="session")
def screen_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CountingScreen]:
    """(the text of a rule file) -> a screen by it."""

    def made(text: str) -> CountingScreen:
        path = tmp_path_factory.mktemp("rules") / "rules.toml"
        path.write_text(dedent(text))
        return CountingScreen(path)

    return made


def one(action: str, what: str, **more: str) -> str:
    """A file of one rule for both places; ``what`` is a line of it."""
    lines = ['name = "rule"', 'in = ["question", "answer"]', f'action = "{action}"', what]
    return "\n".join(["[[rule]]", *lines, *(f"{name} = {value}" for name, value in more.items())])


@pytest.fixture(scope="session")
def one_rule() -> Callable[..., str]:
    """(action, line, field=value...) -> a file of one rule."""
    return one
