"""Options: what was asked for, and what of it cannot be done together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadtests.profile import Profile
from loadtests.route import MIXES


@dataclass(frozen=True, slots=True)
class Options:
    """As the command line has them; one that would be ignored is wrong."""

    profile: Profile
    mix: str
    url: str | None = None
    metrics_url: str | None = None
    pid: int | None = None
    questions: Path | None = None
    rate: float | None = None
    seconds: float | None = None

    def wrong(self) -> Iterator[str]:
        """What is wrong, each with its value."""
        if self.mix not in MIXES:
            yield f"--mix {self.mix}: must be one of {', '.join(MIXES)}"
        remote = {"--pid": self.pid, "--questions": self.questions, "--metrics-url": self.metrics_url}
        if self.url is None:
            yield from (f"{name} {value} goes with --url" for name, value in remote.items() if value is not None)
        if self.profile is Profile.CAPACITY:
            fixed = {"--rate": self.rate, "--seconds": self.seconds}
            yield from (f"{name} {value:g}: capacity chooses it" for name, value in fixed.items() if value is not None)
        for name, address in {"--url": self.url, "--metrics-url": self.metrics_url}.items():
            if address is not None and not _is_address(address):
                yield f"{name} {address}: must be http or https, a host, and nothing behind the path"
        if self.pid is not None and not psutil.pid_exists(self.pid):
            yield f"--pid {self.pid}: there is no such process"


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        return False
