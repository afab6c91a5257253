"""python -m loadtests.peers."""

import http.client
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from loadtests.peers.comparison import BlockError, Comparison, Plan
from loadtests.peers.environment import EnvironmentSetupError, infinity_environment
from loadtests.peers.launches import CHECKOUT, ModelMissingError, infinity, quarry
from loadtests.peers.options import Options, parse
from loadtests.peers.report import Report
from loadtests.peers.scenarios import SCENARIOS
from loadtests.peers.server import PortTakenError, Server, ServerError, running
from loadtests.peers.texts import UnreadableTextsError, text_source

_MET, _MISSED, _FAILED = 0, 1, 2
_FAILURES = (BlockError, EnvironmentSetupError, ModelMissingError, PortTakenError, ServerError, UnreadableTextsError)
_console = Console(stderr=True)


def main() -> int:
    """Compare; the exit code says how it came out."""
    options = parse()
    # A terminal that closes, or a job that is called off, leaves no servers behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        report = _measured(options)
    except _FAILURES as error:
        _say(str(error))
        return _FAILED
    except KeyboardInterrupt:
        _say("called off")
        return _FAILED
    if options.json:
        print(orjson.dumps(report.as_dict(), default=str).decode())  # noqa: T201  the result
    else:
        report.print(Console())
    for miss in report.missed:
        _say(f"target missed: {miss}")
    return _MISSED if report.missed else _MET


def _measured(options: Options) -> Report:
    plan = Plan(options.rounds, options.seconds, options.ramp, options.encoding, options.seed, options.texts)
    text_source(plan.texts_file, plan.seed)  # a file that cannot be read is known before anything is installed
    versions = infinity_environment(options.peer_env.absolute(), options.torch_index, _say)
    with _both(options) as (peer, ours):
        embedder = _embedder(ours)
        comparison = Comparison(peer, ours, plan, _say)
        chosen = [one for one in SCENARIOS if not options.scenario or one.name in options.scenario]
        outcomes = [comparison.run(scenario) for scenario in chosen]
    return Report(plan, peer, ours, versions, _commit(), embedder, outcomes)


@contextmanager
def _both(options: Options) -> Iterator[tuple[Server, Server]]:
    """Infinity and Quarry, running."""
    with tempfile.TemporaryDirectory(prefix="quarry-peers-") as name:
        folder = Path(name)
        _say("starting infinity")
        with running(infinity(options.peer_env.absolute(), options.peer_dtype), options.peer_port, folder) as peer:
            _say("starting quarry")
            with running(quarry(folder / "data"), options.quarry_port, folder) as ours:
                yield peer, ours


def _embedder(server: Server) -> dict[str, Any]:
    """What Quarry says about its embedder; nothing where it says nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/v1/status")
        status = orjson.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    first: dict[str, Any] = next(iter(status.get("embedders", ())), {})
    return {name: first[name] for name in ("name", "device", "dtype") if name in first}


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(CHECKOUT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own
    return done.stdout.strip() or None


def _say(text: str) -> None:
    _console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
