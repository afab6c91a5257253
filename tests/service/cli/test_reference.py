"""The page of the command line is that of the commands."""

from pathlib import Path

from service.cli.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_page_is_current() -> None:
    """`make docs` writes it anew."""
    assert PAGE.read_text() == reference()


def test_every_command_with_a_reply_prints_json() -> None:
    commands = reference().split("\n### ")[1:]
    silent = {part.partition("`\n")[0].strip("`#").strip() for part in commands if "--json" not in part}
    groups = {"`quarry " + group for group in ("bench", "collections", "documents", "index")}
    assert {f"`{name}" for name in silent} - groups == {"`quarry serve", "`quarry up"}
