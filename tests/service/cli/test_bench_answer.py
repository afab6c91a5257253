"""The benchmark of an answer in small, before a server in this process: every figure is there and fits the others."""

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.bench.answer import run
from service.cli.bench.answer.kept_connection import Reply
from service.cli.bench.server import RunningServer
from service.cli.main import app

KEYS = {
    "bench", "samples", "prompts_agree", "prompt_tokens_p50", "ttft_ms", "llm_ttft_ms", "own_ttft_ms",
    "own_ttft_p50_ms", "total_ms", "llm_total_ms", "own_total_ms", "streamed_stages_ms", "whole_stages_ms", "targets",
    "token_event", "met", "llm", "processor", "cores", "versions", "documents", "questions", "model", "dtype",
}  # fmt: skip
STAGES = {"tokenize", "queue", "embed", "search", "prompt", "llm_ttft", "llm_total", "other"}


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def server(listening: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that the benchmark takes for one of its own; its process is this one."""

    @contextmanager
    def running(_: Path, config: Path) -> Iterator[RunningServer]:
        yield RunningServer(listening(**tomllib.loads(config.read_text())), os.getpid())

    monkeypatch.setattr(run, "running_server", running)


@pytest.mark.usefixtures("server")
def test_every_question_is_asked_in_three_ways(tmp_path: Path) -> None:
    corpus, queries = tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl"
    texts = [f"Bees of meadow {number} sleep in winter." for number in range(3)]
    corpus.write_text("".join(json.dumps({"id": text[:16], "text": text}) + "\n" for text in texts))
    asked = ["When do bees sleep?", "Bees in winter", "Bees in winter", "Which interest rate did the bank choose?"]
    queries.write_text("".join(json.dumps({"text": text}) + "\n" for text in asked))
    done = quarry("bench", "answer", "--corpus", corpus, "--queries", queries, "--rounds", "2", "--json")
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    assert report.keys() == KEYS
    assert (report["documents"], report["questions"], report["samples"]) == ({"created": 3}, 2, 4)
    assert report["prompts_agree"] is True
    assert report["prompt_tokens_p50"] > 100
    assert report["llm"]["is_fake"] is True
    assert report["llm"]["server"] == "vllm"
    assert set(report["streamed_stages_ms"]) == set(report["whole_stages_ms"]) == STAGES
    assert report["streamed_stages_ms"]["embed"]["p50"] > 0  # no vector comes from a cache
    first, query, chat = report["targets"]
    assert (first["name"], first["limit"]) == ("own_ttft_p50_ms", 3.0)
    assert first["value"] == report["own_ttft_p50_ms"] == report["own_ttft_ms"]["p50"]
    token = report["token_event"]
    assert token["events_each"] > 200  # of 240 tokens that a long answer has more, and of which some share an event
    for target, way in ((query, "query"), (chat, "chat")):
        assert (target["name"], target["limit"]) == (f"token_{way}_added_cpu_ms", 0.3)
        assert target["value"] == token[f"{way}_added_cpu_ms"]
        assert target["value"] == pytest.approx(token[f"{way}_cpu_ms"] - token["json_cpu_ms"], abs=0.001)
    assert [target["met"] for target in report["targets"]] == [
        target["value"] <= target["limit"] for target in report["targets"]
    ]
    assert report["met"] == all(target["met"] for target in report["targets"])


def test_an_event_came_when_its_last_byte_did() -> None:
    parts = [(0.1, b'event: token\ndata: {"text"'), (0.2, b': "a"}\n\ndata: {"n": 1}\n'), (0.3, b"\ndata: [DONE]\n\n")]
    events = list(Reply(parts, 0.3).events())
    assert [(event.at_s, event.name, event.data) for event in events] == [
        (0.2, "token", {"text": "a"}),
        (0.3, "", {"n": 1}),
    ]


def test_a_corpus_without_questions_is_refused(tmp_path: Path) -> None:
    done = quarry("bench", "answer", "--corpus", tmp_path)
    assert done.exit_code == 1
    assert "--corpus and --queries go together" in done.stderr


def test_a_model_server_that_is_not_there_is_named() -> None:
    done = quarry("bench", "answer", "--llm-url", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "refused" in done.stderr
