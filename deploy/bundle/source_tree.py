"""The project's own files, as far as git knows them: no secret, no cache and nothing left behind by a build."""

import shutil
import subprocess
from pathlib import Path

from deploy.bundle.errors import BundleError

ROOT = Path(__file__).parents[2]


def copy_tracked(target: Path, *paths: str) -> None:
    """Copy the tracked files among ``paths``, which are below the root, as they are in the work tree.

    Raises:
        BundleError: this is no clone, or a tracked file is gone.
    """
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *paths]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own
        for name in filter(None, listed.stdout.split("\0")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    except subprocess.CalledProcessError as error:
        raise BundleError(f"a bundle is made from a clone with git: {error.stderr.strip()}") from error
    except OSError as error:
        raise BundleError(f"a bundle is made from a clone with git: {error}") from error
