"""docs/clients.md: its code runs as it stands there, but for the server's address and the models' names."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from models.base import Reranker

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
HERE = [program for program in PROGRAMS if "llama_index" not in program]
ELSEWHERE = [program for program in PROGRAMS if "llama_index" in program]
PATIENCE_S = 100.0


@pytest.fixture
def runnable(listening: Callable[..., str], overlap: Reranker) -> Callable[[str], str]:
    """(program) -> it, for a server that runs."""
    address = listening(rerank={"model": overlap.info.name})
    body = {"title": "Memo", "text": "The audit is on Friday at ten.", "metadata": {"team": "office"}}
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as http:
        assert http.put("/v1/collections/mine/documents/memo", json=body).status_code == 201

    def run_there(program: str) -> str:
        named = program.replace("all-MiniLM-L6-v2", "hashing").replace("my-cross-encoder", overlap.info.name)
        return named.replace("http://127.0.0.1:8080", address)

    return run_there


def test_the_page_has_a_program_for_each_client() -> None:
    clients = ("from openai", "langchain_openai", "langchain_core", "cohere", "llms.openai_like", "llama_index.core")
    for client in clients:
        assert [program for program in PROGRAMS if client in program], client


def printed(python: str, program: str) -> str:
    """What a program says that ends well: in a process of its own, as a user runs it."""
    done = subprocess.run([python, "-"], input=program, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(HERE)))
def test_programs_run(runnable: Callable[[str], str], number: int) -> None:
    assert printed(sys.executable, runnable(HERE[number])).strip()


@pytest.mark.parametrize("number", range(len(ELSEWHERE)))
def test_programs_with_llama_index_run(runnable: Callable[[str], str], llama_index: str, number: int) -> None:
    assert printed(llama_index, runnable(ELSEWHERE[number])).strip()
