"""quarry content."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.cli.console import JsonOption, fail, out
from service.content.rule import Action, Place
from service.content.rule_file import RuleFileError, read_rules
from service.content.rule_screen import RuleScreen

app = typer.Typer(help="Try the rules that questions and answers are screened by.", no_args_is_help=True)


@app.callback()
def _content() -> None:
    """Keep ``test`` a command of its own."""


@app.command()
def test(
    rules: Annotated[Path, typer.Argument(help="The rule file.")],
    text: Annotated[str | None, typer.Option(help="What to look at. [default: what is piped in]")] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Take it as an answer, not as a question.")] = False,
    json: JsonOption = False,
) -> None:
    """Show which rules match a text, and what becomes of it; exit code 1 when the file is wrong."""
    place, found = Place.ANSWER if answer else Place.QUESTION, list[tuple[str, str]]()
    try:
        screen = RuleScreen(read_rules(rules), lambda rule, action, _: found.append((rule, str(action))))
    except RuleFileError as error:
        fail(str(error))
    shown = screen.shown(sys.stdin.read() if text is None else text, place)
    blocked = any(action == Action.BLOCK for _, action in found)
    if json:
        matches = [{"rule": rule, "action": action} for rule, action in found]
        typer.echo(orjson.dumps({"matches": matches, "blocked": blocked, "text": shown}).decode())
        return
    for rule, action in found:
        out.print(f"{action:5}  {rule}", markup=False)
    if not found:
        out.print("no rule matches")
    out.print("blocked" if blocked and not answer else shown, markup=False)
