"""The same load on two servers in alternation."""

import base64
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import orjson

from loadtests.peers.figures import Figures, Spread
from loadtests.peers.job import Job, Result
from loadtests.peers.launches import CHECKOUT, DIMENSION, MODEL
from loadtests.peers.reply import Vectors, WrongReplyError, lowest_cosine
from loadtests.peers.scenarios import Scenario
from loadtests.peers.server import Server

_WARM_UP_S = 2.0
_COMPARED_TEXTS = 64
_GRACE_S = 120.0


class BlockError(Exception):
    """A block of load failed; the message names the server and the reason."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same in every block.

    Attributes:
        rounds: blocks on each server per scenario.
        seconds: how long the clock runs in a block.
        ramp_s: how long the load runs before that.
        encoding: of the vectors in the replies.
        texts_file: JSONL of {text}; None makes synthetic ones.
    """

    rounds: int
    seconds: float
    ramp_s: float
    encoding: str
    seed: int
    texts_file: Path | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario, measured.

    Attributes:
        ratio: Quarry divided by its peer, round by round, in what the target is about.
        lowest_cosine: the worst agreement between the two servers.
    """

    scenario: Scenario
    peer: Figures
    quarry: Figures
    ratio: Spread
    lowest_cosine: float

    @property
    def met(self) -> bool:
        """Whether the median round met the target."""
        return self.scenario.target.met(self.ratio.median)


@dataclass(slots=True)
class Comparison:
    """Runs scenarios, and remembers which texts were used."""

    peer: Server
    quarry: Server
    plan: Plan
    say: Callable[[str], None]
    _next_text: dict[tuple[int, int], int] = field(default_factory=dict)

    def run(self, scenario: Scenario) -> Outcome:
        """Warm both servers up, then measure them in turn.

        Raises:
            BlockError: a server failed, or gave a wrong answer.
            ServerError: a server ended.
        """
        self._round(scenario, _WARM_UP_S)
        rounds = []
        for number in range(self.plan.rounds):
            peer, quarry, cosine = self._round(scenario, self.plan.seconds)
            if not (peer.latencies_ms and quarry.latencies_ms):
                raise BlockError(
                    f"{scenario.name}: no request ended in a block of {self.plan.seconds:g} s: use more --seconds"
                )
            self.say(f"{scenario.name} {number + 1}/{self.plan.rounds}: {_seen(peer)} -> {_seen(quarry)}")
            rounds.append((peer, quarry, cosine))
        peers, quarries, cosines = zip(*rounds, strict=True)
        return _outcome(scenario, peers, quarries, min(cosines))

    def _round(self, scenario: Scenario, seconds: float) -> tuple[Result, Result, float]:
        """One block on each server, of the same texts as far as both get."""
        first = self._next_text.get(scenario.words, 0)
        peer = self._block(self.peer, scenario, first, seconds)
        quarry = self._block(self.quarry, scenario, first, seconds)
        self._next_text[scenario.words] = first + max(peer.texts, quarry.texts)
        try:
            return peer, quarry, lowest_cosine(_vectors(peer), _vectors(quarry))
        except WrongReplyError as error:
            raise BlockError(f"{scenario.name}: {error}") from None

    def _block(self, server: Server, scenario: Scenario, first_text: int, seconds: float) -> Result:
        job = Job(
            port=server.port,
            path=server.launch.embeddings_path,
            model=MODEL,
            dimension=DIMENSION,
            encoding=self.plan.encoding,
            concurrency=scenario.concurrency,
            texts_per_request=scenario.texts_per_request,
            words=scenario.words,
            first_text=first_text,
            ramp_s=self.plan.ramp_s,
            seconds=seconds,
            kept=_COMPARED_TEXTS,
            seed=self.plan.seed,
            texts_file=None if self.plan.texts_file is None else str(self.plan.texts_file.resolve()),
        )
        result = _in_own_process(job)
        server.check()
        if result.error:
            raise BlockError(f"{scenario.name}, {server.launch.name}: {result.error}")
        return result


def _in_own_process(job: Job) -> Result:
    command = [sys.executable, "-m", "loadtests.peers.client"]
    limit = job.ramp_s + job.seconds + _GRACE_S
    try:
        done = subprocess.run(  # noqa: S603  our own
            command,
            input=orjson.dumps(asdict(job)),
            capture_output=True,
            cwd=CHECKOUT,
            timeout=limit,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Result(error=f"the load did not end within {limit:g} s")
    if done.returncode:
        return Result(error=f"the load ended with code {done.returncode}: {done.stderr.decode()[-1000:]}")
    return Result(**orjson.loads(done.stdout))


def _vectors(result: Result) -> Vectors:
    flat = np.frombuffer(base64.b64decode(result.vectors), dtype=np.float32)
    return flat.reshape(-1, DIMENSION)


def _outcome(scenario: Scenario, peers: Sequence[Result], quarries: Sequence[Result], cosine: float) -> Outcome:
    peer = Figures.of(peers, scenario.texts_per_request)
    quarry = Figures.of(quarries, scenario.texts_per_request)
    ratio = Spread.of_ratios(quarry.rounds(scenario.target.of), peer.rounds(scenario.target.of))
    return Outcome(scenario, peer, quarry, ratio, cosine)


def _seen(result: Result) -> str:
    return f"{result.requests_per_s:.1f}/s"
