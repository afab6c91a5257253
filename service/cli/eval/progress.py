"""Progress: a bar on stderr for each thing that is done many times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.console import err
from service.cli.eval.asker import Watch


def bars() -> Watch:
    """What shows an ``Asker`` how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    @contextmanager
    def watched(what: str, total: int | None) -> Iterator[Callable[[], None]]:
        with Progress(*columns, console=err) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda: progress.advance(bar)

    return watched
