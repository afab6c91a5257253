"""The folder that becomes a bundle."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template

from deploy.bundle.environment import Environment
from deploy.bundle.errors import BundleError
from deploy.bundle.licences import third_party_licences
from deploy.bundle.sbom import sbom
from deploy.bundle.source_tree import copy_tracked

CHECKSUMS = "SHA256SUMS"
_HERE = Path(__file__).parent
_NOT_BROUGHT = (":!deploy/**.py", ":!deploy/bundle", ":!deploy/image")
_BROUGHT = ("LICENSE", "NOTICE", "CHANGELOG.md", "docs", "deploy", *_NOT_BROUGHT)


def fill(folder: Path, environments: Sequence[Environment], models: Sequence[Path], named: dict[str, str]) -> None:
    """Write everything but the checksums.

    Args:
        folder: is made, on the file system of the wheels.
        models: folders to be brought along, by their own names.
        named: ``title``, ``version``, ``revision``, ``python``, ``epoch`` of the README and the SBOM.

    Raises:
        BundleError: two models have one name.
    """
    (folder / "wheels").mkdir(parents=True)
    (folder / "models").mkdir()
    for environment in environments:
        _write(folder, environment, named)
    for model in models:
        _bring(model.resolve(), folder / "models")
    copy_tracked(folder, *_BROUGHT)
    shutil.copy2(_HERE / "install.sh", folder / "install.sh")
    (folder / "README.md").write_text(Template((_HERE / "README.md").read_text()).substitute(named))


def _write(folder: Path, environment: Environment, named: dict[str, str]) -> None:
    for wheel in environment.wheels:
        shared = folder / "wheels" / wheel.path.name
        if not shared.exists():
            os.link(wheel.path, shared)
    own = folder / "environments" / environment.name
    own.mkdir(parents=True)
    (own / "requirements.txt").write_text(environment.requirements())
    (own / "needs.env").write_text(environment.needs())
    (own / "sbom.cdx.json").write_text(sbom(environment, named["title"], int(named["epoch"])))
    (own / "THIRD_PARTY_LICENSES.txt").write_text(third_party_licences(environment.wheels))


def _bring(model: Path, models: Path) -> None:
    try:
        shutil.copytree(model, models / model.name)
    except FileExistsError as error:
        raise BundleError(f"two models are called {model.name!r}: rename the folder {model}") from error
    except (OSError, shutil.Error) as error:
        raise BundleError(f"the model {model} cannot be read: {error}") from error


def sign_off(folder: Path) -> None:
    """Write the checksum of every file there is, in the format of sha256sum.

    Raises:
        BundleError: a file has a name that this format cannot hold.
    """
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CHECKSUMS):
        name = str(path.relative_to(folder))
        if not name.isprintable() or "\\" in name:
            raise BundleError(f"{name!r} cannot be in a list of checksums: rename it")
        with path.open("rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n")
    (folder / CHECKSUMS).write_text("".join(lines))
