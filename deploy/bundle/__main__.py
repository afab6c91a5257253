"""python -m deploy.bundle."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from deploy.bundle.bundle import Request, make_bundle
from deploy.bundle.errors import BundleError
from deploy.bundle.profile import Profile

_EPOCH = 315_532_800  # the first that a zip can hold


def main(
    profile: Annotated[Profile, typer.Option(help="For which machines.")] = Profile.CPU,
    models: Annotated[list[Path] | None, typer.Option(help="A folder of a model; may be repeated.")] = None,
    torch_index: Annotated[str | None, typer.Option(help="URL of an index with builds of torch for the CPU.")] = None,
    epoch: Annotated[int, typer.Option(help="Time of every file in it, in seconds.", min=_EPOCH)] = _EPOCH,
    revision: Annotated[str, typer.Option(help="Of the source, for its README.")] = "unknown",
    out: Annotated[Path, typer.Option(help="Folder that it is written to.")] = Path("dist"),
) -> None:
    """Make a bundle: wheels, models, checksums, SBOM, licences and what installs them. Prints its path."""
    out.mkdir(exist_ok=True)
    try:
        request = Request(profile, models or [], torch_index or None, epoch, revision)
        typer.echo(make_bundle(request, out, partial(typer.echo, err=True)))
    except BundleError as error:
        typer.echo(f"deploy.bundle: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
