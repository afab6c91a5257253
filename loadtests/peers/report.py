"""What was compared, and how it came out: as a table or as JSON."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.peers.comparison import Outcome, Plan
from loadtests.peers.figures import Figures
from loadtests.peers.scenarios import Scenario, Target
from loadtests.peers.server import Server

_PEER_PARTS = ("python", "infinity-emb", "torch", "transformers", "sentence-transformers", "tokenizers", "uvicorn")
_QUARRY_PARTS = ("quarry", "torch", "transformers", "tokenizers", "uvicorn")
_MEASURES = {"requests_per_s": "requests/s", "p50_ms": "p50"}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader needs to repeat and judge the comparison.

    Attributes:
        peer_versions: of every distribution in the peer's environment.
        commit: of the checkout, None where it is no repository.
        embedder: what Quarry says about its own, e.g. model and dtype.
    """

    plan: Plan
    peer: Server
    quarry: Server
    peer_versions: dict[str, str]
    commit: str | None
    embedder: dict[str, Any]
    outcomes: Sequence[Outcome]

    @property
    def missed(self) -> list[str]:
        """The scenarios whose target was not met, with what was reached."""
        return [
            f"{outcome.scenario.name}: {outcome.ratio.median:.2f}, {_bound(outcome.scenario.target)}"
            for outcome in self.outcomes
            if not outcome.met
        ]

    def as_dict(self) -> dict[str, Any]:
        """The whole of it, for JSON."""
        return {
            "bench": "peers",
            "scenarios": [_scenario(outcome, self.peer.launch.name) for outcome in self.outcomes],
            "met": not self.missed,
            "plan": asdict(self.plan),
            "commands": {server.launch.name: server.launch.command for server in (self.peer, self.quarry)},
            "versions": self._versions(),
            "commit": self.commit,
            "quarry_embedder": self.embedder,
            "processor": _processor(),
            "cores": os.cpu_count(),
        }

    def print(self, console: Console) -> None:
        """As tables."""
        console.print(_figures_table(self.outcomes, self.peer.launch.name))
        console.print(_ratios_table(self.outcomes, self.peer.launch.name))
        console.print(f"{_processor()}, {os.cpu_count()} cores; replies in {self.plan.encoding}", markup=False)
        console.print(f"{self.quarry.launch.name} at {self.commit or 'no commit'}: {self.embedder}", markup=False)
        for name, parts in self._versions().items():
            console.print(f"{name}: {', '.join(f'{part} {number}' for part, number in parts.items())}", markup=False)
        console.print(f"{self.peer.launch.name}: {_flags(self.peer)}", markup=False, soft_wrap=True)

    def _versions(self) -> dict[str, dict[str, str]]:
        peer = {name: self.peer_versions[name] for name in _PEER_PARTS if name in self.peer_versions}
        quarry = {"python": platform.python_version(), **{name: version(name) for name in _QUARRY_PARTS}}
        return {self.peer.launch.name: peer, self.quarry.launch.name: quarry}


def _scenario(outcome: Outcome, peer: str) -> dict[str, Any]:
    return {
        **asdict(outcome.scenario),
        "servers": {peer: asdict(outcome.peer), "quarry": asdict(outcome.quarry)},
        "ratio": asdict(outcome.ratio),
        "lowest_cosine": outcome.lowest_cosine,
        "met": outcome.met,
    }


def _figures_table(outcomes: Sequence[Outcome], peer: str) -> Table:
    columns = ("scenario", "server", "requests/s", "texts/s", "p50 ms", "p99 ms", "client ms")
    table = Table(*columns, caption="client ms: processor time of the load, per request")
    for outcome in outcomes:
        table.add_row(outcome.scenario.name, peer, *_cells(outcome.peer))
        table.add_row(_load(outcome.scenario), "quarry", *_cells(outcome.quarry), end_section=True)
    return table


def _ratios_table(outcomes: Sequence[Outcome], peer: str) -> Table:
    table = Table("scenario", f"quarry/{peer}", "median", "min..max", "target", "", "cosine")
    for outcome in outcomes:
        ratio, target = outcome.ratio, outcome.scenario.target
        table.add_row(
            outcome.scenario.name,
            _MEASURES[target.of],
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f}..{ratio.high:.2f}",
            _bound(target),
            "met" if outcome.met else "missed",
            f"{outcome.lowest_cosine:.4f}",
        )
    return table


def _load(scenario: Scenario) -> str:
    return f"{scenario.concurrency} x {scenario.texts_per_request}"


def _cells(figures: Figures) -> list[str]:
    numbers = (figures.requests_per_s, figures.texts_per_s, figures.p50_ms, figures.p99_ms)
    return [*(f"{number:.1f}" for number in numbers), f"{figures.client_cpu_ms:.2f}"]


def _bound(target: Target) -> str:
    return f"at {'least' if target.of == 'requests_per_s' else 'most'} {target.bound:g}"


def _flags(server: Server) -> str:
    return " ".join(server.launch.command[1:])


def _processor() -> str:
    """What the kernel calls it, with the instruction sets that decide the speed of a forward."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    wide = [flag for flag in fields.get("flags", "").split() if flag in {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}]
    return f"{fields.get('model name', platform.machine())} ({', '.join(wide)})"
