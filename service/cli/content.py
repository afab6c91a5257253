"""quarry content."""

import sys
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.cli.console import fail, out
from service.content.rule import Action, Place
from service.content.rule_file import RuleFileError, read_rules
from service.content.rule_screen import Count, RuleScreen

app = typer.Typer(help="Try the rules that questions and answers are screened by.", no_args_is_help=True)

RulesArgument = Annotated[Path, typer.Argument(help="The rule file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_PROSE = (
    "The honey bees of the northern meadow sleep in winter, because the meadow is cold and there is nothing to eat "
    "[1]. In spring, around March 21, the bees wake up and visit the clover; about 40 percent of them find it [2].\n\n"
)
_PIECE = 4  # characters, about what a token has
_REPEATED = 100


@app.command()
def test(
    rules: RulesArgument,
    text: Annotated[str | None, typer.Option(help="What to look at. [default: what is piped in]")] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Take it as an answer, not as a question.")] = False,
    json: JsonOption = False,
) -> None:
    """Show which rules match a text, and what becomes of it; exit code 1 when the file is wrong."""
    found: list[tuple[str, str]] = []
    screen = _screen(rules, lambda rule, action, _: found.append((rule, str(action))))
    shown = screen.shown(sys.stdin.read() if text is None else text, Place.ANSWER if answer else Place.QUESTION)
    is_blocked = any(action == Action.BLOCK for _, action in found)
    if json:
        matches = [{"rule": rule, "action": action} for rule, action in found]
        typer.echo(orjson.dumps({"matches": matches, "blocked": is_blocked, "text": shown}).decode())
        return
    for rule, action in found:
        out.print(f"{action:5}  {rule}", markup=False)
    if not found:
        out.print("no rule matches")
    out.print("refused" if is_blocked and not answer else shown, markup=False)


@app.command()
def cost(rules: RulesArgument, json: JsonOption = False) -> None:
    """Measure what the rules cost for each piece of a streamed answer, on this machine."""
    screen = _screen(rules, lambda *_: None)
    pieces = [_PROSE[start : start + _PIECE] for start in range(0, len(_PROSE), _PIECE)] * _REPEATED
    _seconds(screen, pieces)  # what RE2 remembers of its patterns is made once
    each_us = round(1e6 * _seconds(screen, pieces) / len(pieces), 1)
    if json:
        typer.echo(orjson.dumps({"pieces": len(pieces), "cpu_us_each": each_us}).decode())
    else:
        out.print(f"{each_us} microseconds of processor time for a piece, of {len(pieces)} pieces of prose")


def _screen(rules: Path, on_match: Count) -> RuleScreen:
    try:
        return RuleScreen(read_rules(rules), on_match)
    except RuleFileError as error:
        fail(str(error))


def _seconds(screen: RuleScreen, pieces: list[str]) -> float:
    """Of this thread's processor time."""
    answer, start = screen.answer(""), time.thread_time()
    if answer is not None:  # no rule is for answers
        for piece in pieces:
            answer.feed(piece)
    return time.thread_time() - start
