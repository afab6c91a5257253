"""Both measurements in one run, and their report."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import httpx

from service.access.key import KeyLimits
from service.access.keys import Keys, NewKey
from service.access.rights import ALL
from service.cli.bench.access.asking import Asking
from service.cli.bench.access.overhead import Cost, alternated
from service.cli.bench.access.overload import LIMITED, OVERLOADED, flood, idle, rejections
from service.cli.bench.machine import processor
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.server import free_port, running
from service.cli.bench.target import Target

ADDED_LIMIT_MS = 0.5
REJECTED_LIMIT = 5.0
_COLLECTION = "bench"
_DOCUMENTS = 300
_QUERIES = 50
_ROOMY = KeyLimits(10**9, 10**12, 10**6)
_SPENT = KeyLimits(requests_per_minute=1)
_VERSIONS = ("quarry", "limits", "fastapi", "starlette", "pydantic", "uvicorn")
_CONFIG = "embedding.max_queued_tokens = 4096\nserver.log_level = 'info'\n"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they listen, the keys of the first, and the embedding model."""

    guarded: str
    keyless: str
    unguarded: str
    bare: str
    free: str
    spent: str
    model: str


def run(rounds: int, refusals: int, say: Callable[[str], None]) -> dict[str, object]:
    """Measure.

    Args:
        rounds: searches at each server.
        refusals: of each kind; and requests of an idle /healthz, half of them before the flood and half after it.
        say: where progress goes.
    """
    with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder, _served(Path(folder)) as servers:
        say(f"writing {_DOCUMENTS} documents")
        _write(servers)
        asked = {
            "guarded": Asking(servers.guarded, servers.free),
            "keyless": Asking(servers.keyless),
            "unguarded": Asking(servers.unguarded),
            "bare Starlette": Asking(servers.bare),
        }
        say(f"{rounds} searches at each of {len(asked)} servers")
        took = alternated(asked, [_text(number) for number in range(_QUERIES)], _COLLECTION, rounds)
        free, spent = Asking(servers.guarded, servers.free), Asking(servers.guarded, servers.spent)
        say(f"{refusals} refusals of each kind while the server has more to do than it can")
        quiet = idle(free, refusals // 2)
        with flood(servers.guarded, servers.free, servers.model):
            refused = rejections(free, spent, servers.model, refusals)
        quiet += idle(free, refusals // 2)  # whatever else the machine does may have begun meanwhile
    return _report(took, quiet, refused)


@contextmanager
def _served(folder: Path) -> Iterator[Servers]:
    data, config = folder / "data", folder / "quarry.toml"
    config.write_text(_CONFIG)
    keys = Keys(data)
    _, free = keys.create(NewKey("free", ALL, _ROOMY))
    _, spent = keys.create(NewKey("spent", ALL, _SPENT))
    ports = [free_port() for _ in range(4)]
    command = [sys.executable, "-m", "service.cli.bench.access.served", str(config), str(data), *map(str, ports)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]

    def is_up() -> None:
        httpx.get(f"{urls[0]}/readyz", trust_env=False).raise_for_status()

    with running(command, folder / "served.log", is_up):
        headers = {"Authorization": f"Bearer {free}"}
        status = httpx.get(f"{urls[0]}/v1/status", headers=headers, trust_env=False).json()
        guarded, keyless, unguarded, bare = urls
        yield Servers(guarded, keyless, unguarded, bare, str(free), str(spent), status["embedders"][0]["name"])


def _write(servers: Servers) -> None:
    with httpx.Client(base_url=servers.keyless, timeout=600, trust_env=False) as client:
        for number in range(_DOCUMENTS):
            body = {"text": f"{_text(number)} It was written down."}
            client.put(f"/v1/collections/{_COLLECTION}/documents/{number}", json=body).raise_for_status()


def _text(number: int) -> str:
    return f"Memo {number} is about matter {number * 7919 % 1000} of the year {1900 + number % 120}."


def _report(
    took: Mapping[str, Sequence[float]], quiet: Sequence[float], refused: Mapping[int, Sequence[float]]
) -> dict[str, object]:
    added = Cost.of(took["guarded"], took["unguarded"])
    healthy = Percentiles.of(quiet)
    no = {status: Percentiles.of(seconds) for status, seconds in refused.items()}
    targets = [Target("added to a search, p50, ms", added.p50, ADDED_LIMIT_MS, is_most=True)]
    for status, said in no.items():
        name, ratio = f"p99 of a {status} over that of an idle /healthz", round(said.p99 / healthy.p99, 2)
        targets.append(Target(name, ratio, REJECTED_LIMIT, is_most=True))
    return {
        "bench": "access",
        "searches": len(took["guarded"]),
        "search_ms": {name: asdict(Percentiles.of(seconds)) for name, seconds in took.items()},
        "added_ms": {
            "all": asdict(added),
            "authentication_and_limits": asdict(Cost.of(took["guarded"], took["keyless"])),
            "the_rest": asdict(Cost.of(took["keyless"], took["unguarded"])),
            "fastapi_itself": asdict(Cost.of(took["unguarded"], took["bare Starlette"])),
        },
        "refusals": {status: len(refused[status]) for status in (OVERLOADED, LIMITED)},
        "idle_healthz_ms": asdict(healthy),
        "refusal_ms": {status: asdict(said) for status, said in no.items()},
        "targets": [asdict(target) | {"met": target.is_met} for target in targets],
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in _VERSIONS},
    }
