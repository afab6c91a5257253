"""Where the server is: a given one, or one that is started for the evaluation."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.cli.bench.server import running_server
from service.cli.console import client

# A vector that is remembered would make the second question of the same text look fast.
_MEASURED = {"QUARRY_EMBEDDING__CACHE_BYTES": "0"}


class GivenServer:
    """One that runs already; its settings are its own."""

    is_own = False

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._key = key

    @contextmanager
    def opened(self, variables: Mapping[str, str]) -> Iterator[httpx.Client]:
        """A client of it.

        Args:
            variables: no settings of it can be changed, so there must be none.
        """
        assert not variables  # noqa: S101  what is_own promises
        with client(self._url, self._key) as http:
            yield http


class OwnServer:
    """A process on a free port of this machine, and a data directory that both end with the evaluation.

    Args:
        config: settings of it; None takes the defaults.
    """

    is_own = True

    def __init__(self, folder: Path, config: Path | None) -> None:
        self._data_dir = folder / "data"
        self._config = config

    @classmethod
    @contextmanager
    def temporary(cls, config: Path | None) -> Iterator["OwnServer"]:
        """With a folder that is removed in the end."""
        with tempfile.TemporaryDirectory(prefix="quarry-eval-") as folder:
            yield cls(Path(folder), config)

    @contextmanager
    def opened(self, variables: Mapping[str, str]) -> Iterator[httpx.Client]:
        """Start it, yield a client of it, end it. What it holds is there again when it is opened the next time.

        Args:
            variables: settings that count beside the configuration.

        Raises:
            ServerStartError: it does not come up.
        """
        wanted = _MEASURED | dict(variables)
        with (
            running_server(self._data_dir, self._config, wanted) as server,
            client(server.url, server.key) as http,
        ):
            yield http


Serving = GivenServer | OwnServer
