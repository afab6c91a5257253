"""What Quarry adds to the forward, the search and the language model, until the first text and until the end."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

import httpx
import orjson

from service.cli.bench.answer.interview import COLLECTION, Answered, Interview
from service.cli.bench.answer.llm import Llm, fake_llm, tell_apart
from service.cli.bench.answer.material import Material, NoMaterialError
from service.cli.bench.answer.token_cost import TokenCost
from service.cli.bench.machine import processor
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.server import RunningServer, running_server
from service.cli.bench.target import Target
from service.cli.configuration import settings_or_fail
from service.cli.sources import find
from service.cli.upload import Uploader
from service.generation.tokens import Messages

OWN_TTFT_P50_LIMIT_MS = 3.0
TOKEN_CPU_LIMIT_MS = 0.3
_WARM_UP = 30
_LONG_ANSWERS = 20
_ADDED = ("query_added_cpu_ms", "chat_added_cpu_ms")
_STAGES = ("tokenize", "queue", "embed", "search", "prompt", "llm_ttft", "llm_total", "other")


@dataclass(frozen=True, slots=True)
class Sample:
    """One question asked three ways, right after each other."""

    streamed: Answered
    whole: Answered
    direct: Answered

    @property
    def own_first_s(self) -> float:
        """Until the first text, what neither the forward nor the search nor the model's server took."""
        return self.streamed.first_s - self.streamed.retrieval_s - self.direct.first_s

    @property
    def own_total_s(self) -> float:
        """As much of a JSON reply."""
        return self.whole.total_s - self.whole.retrieval_s - self.direct.total_s


def run(material: Material, llm_url: str | None, rounds: int, say: Callable[[str], None]) -> dict[str, object]:
    """Start the servers, ingest, and ask every question ``rounds`` times, each time in all three ways.

    Args:
        llm_url: of a model's server that runs already; None starts the fake one.
        say: where progress goes.

    Raises:
        NoMaterialError: nothing can be asked.
        ServerStartError, FailedReplyError, httpx.HTTPError: a server does not do what is measured.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-bench-")))
        llm = Llm.at(llm_url) if llm_url else stack.enter_context(fake_llm(folder))
        config = folder / "quarry.toml"
        config.write_text(_config(llm))
        server = stack.enter_context(running_server(folder / "data", config))
        say(f"ingesting {material.corpus}")
        documents = _ingested(server, material.corpus)
        interview = stack.enter_context(closing(Interview(server, llm, settings_or_fail(config).answer)))
        prompts = {question: prompt for question in material.questions if (prompt := interview.prompt(question))}
        if not prompts:
            raise NoMaterialError(f"none of {len(material.questions)} questions has an answer in {material.corpus}")
        say(f"asking {len(prompts)} questions, {rounds} rounds")
        samples = _asked(interview, prompts, rounds)
        say("measuring the processor time of a token")
        costs = _token_cost(server, llm, list(prompts)[:_LONG_ANSWERS])
        status = httpx.get(f"{server.url}/v1/status", headers=server.headers, trust_env=False).json()
    return _report(samples, costs, llm) | {
        "documents": documents,
        "questions": len(prompts),
        "model": status["embedders"][0]["name"],
        "dtype": status["embedders"][0]["dtype"],
    }


def _config(llm: Llm) -> str:
    """No vector is taken from a cache: every round is as the first. JSON's strings are TOML's too."""
    named = {"url": llm.url, "model": llm.model, "server": llm.server}
    lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in named.items()]
    return "\n".join(["[embedding]", "cache_bytes = 0", "[answer]", 'llm = "bench"', "[llm.bench]", *lines, ""])


def _ingested(server: RunningServer, corpus: Path) -> dict[str, int]:
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=600, trust_env=False) as client:
        uploader = Uploader(client, COLLECTION)
        for source in find([corpus]):
            uploader.send(source)
    return dict(uploader.tally.outcomes)


def _asked(interview: Interview, prompts: Mapping[str, Messages], rounds: int) -> list[Sample]:
    """Each way goes first as often as the others, so that all see the same weather on a noisy machine."""
    questions = list(prompts.items())
    for position in range(_WARM_UP):
        _sample(interview, *questions[position % len(questions)], turn=position)
    asked = product(range(rounds), questions)
    return [_sample(interview, *question, turn=turn) for turn, (_, question) in enumerate(asked)]


def _sample(interview: Interview, question: str, prompt: Messages, turn: int) -> Sample:
    ways: dict[str, Callable[[], Answered]] = {
        "streamed": lambda: interview.streamed(question),
        "whole": lambda: interview.whole(question),
        "direct": lambda: interview.direct(prompt),
    }
    names = list(ways)
    first = turn % len(names)
    return Sample(**{name: ways[name]() for name in names[first:] + names[:first]})


def _token_cost(server: RunningServer, llm: Llm, questions: Sequence[str]) -> dict[str, float]:
    if llm.is_fake:
        tell_apart(llm)
    with closing(TokenCost(server, questions)) as cost:
        return cost.measured()


def _report(samples: Sequence[Sample], costs: dict[str, float], llm: Llm) -> dict[str, object]:
    own_ttft = Percentiles.of([sample.own_first_s for sample in samples])
    targets = [
        Target("own_ttft_p50_ms", own_ttft.p50, OWN_TTFT_P50_LIMIT_MS, is_most=True),
        *(Target(f"token_{name}", costs[name], TOKEN_CPU_LIMIT_MS, is_most=True) for name in _ADDED),
    ]
    return {
        "bench": "answer",
        "samples": len(samples),
        "prompts_agree": all(
            sample.streamed.prompt_tokens == sample.whole.prompt_tokens == sample.direct.prompt_tokens
            for sample in samples
        ),
        "prompt_tokens_p50": median(sample.direct.prompt_tokens or 0 for sample in samples),
        "ttft_ms": asdict(Percentiles.of([sample.streamed.first_s for sample in samples])),
        "llm_ttft_ms": asdict(Percentiles.of([sample.direct.first_s for sample in samples])),
        "own_ttft_ms": asdict(own_ttft),
        "own_ttft_p50_ms": own_ttft.p50,
        "total_ms": asdict(Percentiles.of([sample.whole.total_s for sample in samples])),
        "llm_total_ms": asdict(Percentiles.of([sample.direct.total_s for sample in samples])),
        "own_total_ms": asdict(Percentiles.of([sample.own_total_s for sample in samples])),
        "streamed_stages_ms": _stages(sample.streamed for sample in samples),
        "whole_stages_ms": _stages(sample.whole for sample in samples),
        "token_event": costs,
        "targets": [asdict(target) | {"met": target.is_met} for target in targets],
        "met": all(target.is_met for target in targets),
        "llm": asdict(llm),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("quarry", "torch", "fastapi", "httpx", "uvicorn")},
    }


def _stages(answers: Iterable[Answered]) -> dict[str, dict[str, float]]:
    """By the server's own stopwatch."""
    stages = [answer.stages_s for answer in answers]
    return {name: asdict(Percentiles.of([each.get(name, 0.0) for each in stages])) for name in _STAGES}
