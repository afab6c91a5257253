"""Driver: Locust in a process of its own, which follows a plan, and what it and the server left behind."""

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.budgets import Budgets
from loadtests.measured import Run
from loadtests.plan import KEY_VARIABLE, Material, Plan, Summary
from loadtests.profile import Profile
from loadtests.reading import Reading
from loadtests.reading import write as write_readings
from loadtests.route import Route
from loadtests.sample import Sample, read
from loadtests.sample import write as write_samples
from loadtests.shape import Shape
from loadtests.watch import Watch

_ROOT = Path(__file__).resolve().parents[1]
_LOCUSTFILE = _ROOT / "loadtests" / "open_loop" / "locustfile.py"
# For starting Locust, and for its end.
_AROUND_S = 120.0
_LOG_CHARACTERS = 2000
_RUNS = ("warm-up", "step-*", *Profile)
_REPORT = ("report.html", "report.json", "samples.jsonl", "server.jsonl")


class DriverError(Exception):
    """The driver did not do what it was told; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is loaded.

    Attributes:
        pid: of its process, where that runs on this machine.
        metrics_url: where its metrics are; None is ``/metrics`` below the rest.
    """

    url: str
    key: str | None
    pid: int | None
    metrics_url: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of every request to it."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True, slots=True)
class Load:
    """What is the same in every run of a load test.

    Attributes:
        folder: where the files of runs go.
    """

    collection: str
    mix: str
    material: Material
    places: int
    folder: Path


class Driver:
    """Offers shapes to a server, one after the other."""

    def __init__(self, server: Server, load: Load, budgets: Budgets) -> None:
        self._server = server
        self._load = load
        self._budgets = budgets
        _clear(load.folder)
        self._material = load.folder / "material.json"
        self._material.write_text(load.material.model_dump_json())

    def run(self, name: str, shape: Shape, seed: int) -> Run:
        """Offer a shape and return when the last reply is there or given up.

        Args:
            name: of the files that the run leaves.

        Raises:
            DriverError: it failed, or an arrival has no sample.
        """
        plan = self._plan(name, shape, seed)
        watch = self._watch()
        with watch.going_on():
            self._locust(plan, name)
        samples = read(plan.samples)
        require_all(samples, plan)
        summary = Summary.model_validate_json(plan.summary.read_bytes())
        readings = watch.readings(summary.began, shape.seconds)
        return Run(shape, sorted(samples, key=lambda each: each.number), readings, summary.cpu_s)

    def keep(self, run: Run) -> None:
        """The raw samples and readings of a run, for whatever is made of them later."""
        write_samples(self._load.folder / "samples.jsonl", run.samples)
        write_readings(self._load.folder / "server.jsonl", run.readings)

    def reading(self) -> Reading:
        """What the server tells now."""
        return self._watch().first()

    def _watch(self) -> Watch:
        server = self._server
        return Watch(server.metrics_url or f"{server.url}/metrics", server.headers, server.pid)

    def _plan(self, name: str, shape: Shape, seed: int) -> Plan:
        folder = self._load.folder
        deadlines = {
            route: int(each.total_ms) for route, each in self._budgets.objectives.items() if route is not Route.INGEST
        }
        return Plan(
            url=self._server.url,
            collection=self._load.collection,
            phases=shape.phases,
            mix=self._load.mix,
            seed=seed,
            nonce=secrets.token_hex(8),
            places=self._load.places,
            late_s=self._budgets.late_s,
            timeout_s=self._budgets.timeout_s,
            deadline_ms=deadlines,
            material=self._material,
            samples=folder / f"{name}.samples.jsonl",
            summary=folder / f"{name}.summary.json",
        )

    def _locust(self, plan: Plan, name: str) -> None:
        path, log = self._load.folder / f"{name}.plan.json", self._load.folder / f"{name}.log"
        plan.write(path)
        command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--users", "1"]
        command += ["--only-summary", "--exit-code-on-error", "0", "--plan", str(path), plan.mix.capitalize()]
        environment = {**os.environ, KEY_VARIABLE: self._server.key or ""}
        limit_s = plan.shape.seconds + plan.timeout_s + _AROUND_S
        with log.open("wb") as out:
            try:
                done = subprocess.run(  # noqa: S603  our own
                    command, stdout=out, stderr=out, cwd=_ROOT, env=environment, timeout=limit_s, check=False
                )
            except subprocess.TimeoutExpired:
                raise DriverError(f"the driver did not end within {limit_s:g} s: {_end(log)}") from None
        if done.returncode or not plan.summary.exists():
            raise DriverError(f"the driver ended with code {done.returncode}: {_end(log)}")


def require_all(samples: Sequence[Sample], plan: Plan) -> None:
    """Nothing that was to arrive may be without a sample, or have two.

    Raises:
        DriverError: it is so.
    """
    arrivals = len(plan.arrivals())
    if {sample.number for sample in samples} != set(range(arrivals)) or len(samples) != arrivals:
        raise DriverError(f"{plan.samples} has {len(samples)} samples of {arrivals} arrivals")


def _clear(folder: Path) -> None:
    """Nothing of an earlier run may pass for one of this."""
    names = [f"{run}.{kind}" for run in _RUNS for kind in ("samples.jsonl", "summary.json", "plan.json", "log")]
    for name in (*names, *_REPORT):
        for path in folder.glob(name):
            path.unlink()


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_CHARACTERS:]
