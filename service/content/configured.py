"""The screen that a server is configured to have."""

from pathlib import Path

from anyio.to_thread import run_sync

from service.content.base import Screen
from service.content.rule_file import read_rules
from service.content.rule_screen import Count, RuleScreen
from service.content.unscreened import Unscreened


async def configured_screen(path: Path | None, on_match: Count) -> Screen:
    """By the rules of a file; None lets every text through.

    Raises:
        RuleFileError: naming what is wrong with the file.
    """
    return Unscreened() if path is None else RuleScreen(await run_sync(read_rules, path), on_match)
