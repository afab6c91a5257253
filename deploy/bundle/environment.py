"""Environment: the wheels that a virtual environment is made of, and what they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

from deploy.bundle.errors import BundleError
from deploy.bundle.wheel import Wheel

# Beside the files of the wheels: their byte code, pip, and the blocks of a file system.
_OVERHEAD = 1.5


@dataclass(frozen=True, slots=True)
class Environment:
    """One of a bundle.

    Attributes:
        name: of the second argument of install.sh.
        python: of the wheels, e.g. ``3.12``.
        root: what was asked for, e.g. ``quarry[cpu]``.
        wheels: by name; no two of one distribution.
    """

    name: str
    python: str
    root: str
    wheels: Sequence[Wheel]

    @classmethod
    def of_folder(cls, name: str, python: str, root: str, folder: Path) -> Self:
        """Every wheel in a folder.

        Raises:
            BundleError: there is something else in it, or two wheels of one distribution.
        """
        wheels = sorted(map(Wheel.read, sorted(folder.iterdir())), key=lambda wheel: wheel.name)
        for one, other in pairwise(wheels):
            if one.name == other.name:
                raise BundleError(f"{name} has both {one.path.name} and {other.path.name}")
        return cls(name, python, root, wheels)

    @property
    def glibc(self) -> tuple[int, int]:
        """The oldest that all run on."""
        return max(wheel.glibc for wheel in self.wheels)

    def requirements(self) -> str:
        """For ``pip install --require-hashes``: each wheel by its hash."""
        return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in self.wheels)

    def needs(self) -> str:
        """Shell variables for install.sh."""
        kib = int(sum(wheel.installed_bytes for wheel in self.wheels) * _OVERHEAD) // 1024
        major, minor = self.glibc
        return f"needs_python={self.python}\nneeds_glibc={major}.{minor}\nneeds_kib={kib}\n"
