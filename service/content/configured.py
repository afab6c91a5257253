"""The screen that a server is configured to have."""

from pathlib import Path

from anyio.to_thread import run_sync

from service.content.base import Screen
from service.content.rule_file import RuleFileError, read_rules
from service.content.rule_screen import Count, RuleScreen
from service.content.unscreened import Unscreened


async def configured_screen(path: Path | None, on_match: Count) -> Screen:
    """By the rules of a file; None lets every text through.

    Raises:
        RuleFileError: naming the setting, the file and what is wrong with it.
    """
    if path is None:
        return Unscreened()
    try:
        return RuleScreen(await run_sync(lambda: read_rules(path.absolute())), on_match)
    except RuleFileError as error:
        raise RuleFileError(f"content.rules: {error}") from None
