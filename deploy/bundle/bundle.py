"""A bundle, from what is asked for to one file."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.bundle.archive import archive
from deploy.bundle.fetching import fetched, own_wheel
from deploy.bundle.folder import fill, sign_off
from deploy.bundle.profile import OWN, Profile, sources
from deploy.bundle.wheel import Wheel


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        models: folders to be brought along.
        torch_index: URL of an index with builds of torch for the CPU; None asks where pip is configured to look.
        epoch: time of every file, in seconds: the same bundle of the same content.
        revision: of the source.
    """

    profile: Profile
    models: Sequence[Path]
    torch_index: str | None
    epoch: int
    revision: str


def make_bundle(request: Request, out: Path, say: Callable[[str], None]) -> Path:
    """Write a bundle and its checksum.

    Args:
        out: an existing folder.
        say: told what is begun; some of it takes minutes.

    Raises:
        BundleError: something cannot be fetched or read.
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=".bundle-") as name:
        scratch = Path(name)
        say("building Quarry's own wheel ...")
        own = own_wheel(scratch, os.environ | {"SOURCE_DATE_EPOCH": str(request.epoch)})
        environments = []
        for source in sources(request.profile):
            say(f"fetching the wheels of the environment {source.name}, which takes some minutes ...")
            environments.append(fetched(source, own, scratch / source.name, request.torch_index))
        python, version = environments[0].python, str(Wheel.read(own).version)
        title = f"{OWN}-{version}-cp{python.replace('.', '')}-linux-x86_64-{request.profile}"
        named = {
            "title": title,
            "version": version,
            "revision": request.revision,
            "python": python,
            "epoch": str(request.epoch),
        }
        say("writing the SBOM, licences, models and documentation ...")
        fill(scratch / title, environments, request.models, named)
        say("writing checksums ...")
        sign_off(scratch / title)
        say("packing ...")
        file = scratch / f"{title}.tar"
        archive(scratch / title, file, request.epoch)
        for written in (file.with_name(f"{file.name}.sha256"), file):
            written.replace(out / written.name)
    return out / file.name
