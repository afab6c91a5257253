"""quarry migrate: where the vectors of a collection are searched."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from indexes.data_directory import CATALOG, COLLECTIONS, owned
from indexes.errors import DataDirectoryInUseError, IndexesError
from indexes.stored_specs import stored_folder
from indexes.work import Progress as Told
from service.cli.configuration import settings_or_fail
from service.cli.console import err, fail, out
from service.errors import ExtraMissingError
from service.milvus_server import milvus_server


def migrate(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    to: Annotated[Literal["milvus", "local"], typer.Option(help="Where its vectors are to be searched.")],
    data_dir: Annotated[Path, typer.Option(help="The directory it is in, which no server is using.")],
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings, with index.milvus.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as one JSON object.")] = False,
) -> None:
    """Bring a collection's vectors to Milvus or back, and compare every row; cut short, it goes on when repeated."""
    if not (data_dir / CATALOG).is_file():
        fail(f"{data_dir} has no data")
    try:
        server = milvus_server(settings_or_fail(config).index.milvus)
        if server is None:
            fail("index.milvus.url is not set: QUARRY_INDEX__MILVUS__URL or a file given by --config names Milvus")
        from indexes.milvus_migration import MilvusMigration  # noqa: PLC0415  pymilvus is an extra

        with closing(server), owned(data_dir), _progress() as progress:
            uid, spec = stored_folder(data_dir, collection)
            migration = MilvusMigration(data_dir / COLLECTIONS / uid, spec, server, progress)
            migrated = migration.there() if to == "milvus" else migration.back()
    except DataDirectoryInUseError as error:
        fail(f"{error}: stop the server first")
    except (IndexesError, ExtraMissingError) as error:
        fail(f"{collection}: {error}")
    if json:
        out.print_json(orjson.dumps(asdict(migrated)).decode())
        return
    where = "on Milvus" if to == "milvus" else "here"
    out.print(
        f"{collection} is searched {where}: {migrated.documents} documents, {migrated.rows} chunks compared byte by "
        f"byte, {migrated.sent} sent",
        markup=False,
    )


@contextmanager
def _progress() -> Iterator[Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
