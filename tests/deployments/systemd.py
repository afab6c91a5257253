"""systemd units, read as far as tests ask."""

import shlex
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVER, BACKUP = "quarry.service", "quarry-backup.service"


def directives(unit: str, section: str = "Service") -> dict[str, list[str]]:
    """Every value of every directive of a section, in their order."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in (FOLDER / unit).read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def environment(unit: str) -> dict[str, str]:
    """That of the unit's processes: its file of variables above what it says itself."""
    said = (assignment.partition("=") for assignment in directives(unit)["Environment"])
    return {name: value for name, _, value in said} | variables(FOLDER / "quarry.env")


def variables(file: Path) -> dict[str, str]:
    """Those of a file of assignments."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def command(unit: str, directive: str, moved: Mapping[str, str] | None = None) -> list[str]:
    """The words of a command, as systemd hands them over.

    Args:
        moved: paths that are elsewhere in a test.
    """
    (line,) = directives(unit)[directive]
    for path, other in (moved or {}).items():
        line = line.replace(path, other)
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(line)]
