"""The page of the command line, made from the commands' own help: ``make docs`` writes it."""

import typer
from typer.cli import get_docs_for_click

from service.cli.main import app

_PREFACE = """\
# The command line

Made from the commands' own help by `make docs`. A command is a thin client of the [HTTP API](api.md) of the server at
`--url`. `quarry index`, `quarry keys` and `quarry backup` work without one too, on the directory given by `--data-dir`,
which no server may be using; `quarry restore` works only so.

With `--json` a command prints one JSON object on stdout, that of the API where there is one. Progress, warnings and
errors go to stderr, so `quarry ask --json ... | jq` sees the reply alone. `quarry ingest --json` prints

```json
{"collection": "mine", "outcomes": {"created": 2, "failed": 1}, "failures": ["a.txt: ..."], "not_read": ["a.bin"]}
```

An error is one line: `quarry: ` with the status and the detail of the API's problem, and what to do where that
helps.

| exit code | |
|---|---|
| 0 | done; of `ask` also where the documents have no answer |
| 1 | refused, failed or unreachable; a document of `ingest` failed; `index verify`, `doctor` or `health` found faults |
| 1 | of `eval`: also a target that was missed, and a question that the server refused |
| 1 | of `calibrate`: also a confidence that does not tell the questions apart |
| 2 | the command line is wrong; of `plan`, it does not fit |

`ask` prints the answer as it is written, then its sources with title, headings and page. If the stream breaks off,
what came of the answer stays on stdout and the exit code is 1.

"""


def reference() -> str:
    """Markdown."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="quarry")
    commands = get_docs_for_click(obj=command, ctx=context, name="quarry", title="Commands")
    return _PREFACE + commands.replace("\n#", "\n##").replace("# Commands", "## Commands", 1).strip() + "\n"


if __name__ == "__main__":
    typer.echo(reference(), nl=False)
