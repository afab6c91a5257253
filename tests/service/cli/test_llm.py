"""quarry llm."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from scripted_llm import PATIENCE_S
from service.cli.main import app


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    with fake_vllm(Options(model="tiny")) as running:
        yield running


@pytest.fixture
def url(listening: Callable[..., str], fake: FakeVllm) -> str:
    urls = ["http://user:secret@127.0.0.1:9/", fake.url]
    return listening(llm={"main": {"urls": urls, "model": "tiny"}}, answer={"min_score": -1})


def quarry(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["llm", *arguments])


def test_a_server_is_drained_and_asked_again(url: str, fake: FakeVllm) -> None:
    drained = quarry("drain", "main", fake.url, "--wait", "5", "--url", url)
    assert (drained.exit_code, drained.stderr) == (0, "")
    assert drained.stdout == f"{fake.url} drained, 0 answers under way, 0 tokens outstanding: ready\n"
    lines = quarry("servers", "main", "--url", url).stdout.splitlines()
    assert lines[0].startswith("http://127.0.0.1:9 in use")
    assert lines[1] == drained.stdout.strip()
    back = json.loads(quarry("undrain", "main", fake.url, "--url", url, "--json").stdout)
    assert (back["llm"], back["server"], back["drained"]) == ("main", fake.url, False)
    page = json.loads(quarry("servers", "main", "--url", url, "--json").stdout)
    assert [one["drained"] for one in page["data"]] == [False, False]
    assert "secret" not in json.dumps(page)


def test_a_server_that_writes_after_the_wait_is_named(url: str, fake: FakeVllm) -> None:
    fake.script(engine="hung")
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as http:
        http.put("/v1/collections/docs/documents/bees", json={"text": "The honey bees sleep in winter."})
        body = {"query": "When do the bees sleep?", "collection": "docs", "stream": True, "deadline_ms": 300_000}
        with http.stream("POST", "/v1/query", json=body):
            while not fake.state()["running"]:
                pass
            busy = quarry("drain", "main", fake.url, "--wait", "1", "--url", url)
            assert (busy.exit_code, "1 answers under way" in busy.stdout) == (1, True)
            assert "it still writes after 1 s" in busy.stderr
            unwaited = quarry("drain", "main", fake.url, "--url", url)
            assert unwaited.exit_code == 0
            fake.script()


def test_what_is_not_there_is_said(url: str, fake: FakeVllm) -> None:
    absent = quarry("drain", "main", "http://10.0.0.7", "--url", url)
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert f"there are http://127.0.0.1:9, {fake.url}" in absent.stderr
    for name in ("other", "extractive"):
        unknown = quarry("servers", name, "--url", url)
        assert (unknown.exit_code, unknown.stdout) == (1, "")
        assert "there are main" in unknown.stderr
