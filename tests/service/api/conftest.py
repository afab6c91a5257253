"""A reranker without weights, and connections that hang up."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.base import Finished, RerankerInfo, TextKind, TokenPair
from models.cross_encoder import CrossEncoderReranker
from models.hashing import HashingEmbedder

PATIENCE_S = 200.0


class Overlap:
    """Scores a document by the share of the query's words that it has."""

    def __init__(self) -> None:
        self.info = RerankerInfo("overlap", "overlap-1", 256, "cpu", "float32", "the only one")

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        (asked,) = HashingEmbedder().tokenize([query], TextKind.QUERY)
        answers = HashingEmbedder().tokenize(documents, TextKind.DOCUMENT)
        return [TokenPair(asked + ids, [0] * len(asked) + [1] * len(ids)) for ids in answers]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        scores = [self._score(pair) for pair in batch]
        return Finished(sum(map(len, batch)), np.array(scores, np.float32).reshape(-1, 1))

    def warm_up(self, tokens: int) -> int:
        return 0 * tokens

    @staticmethod
    def _score(pair: TokenPair) -> float:
        parts: tuple[set[int], set[int]] = set(), set()
        for token, part in zip(pair.ids, pair.type_ids, strict=True):
            parts[part].add(token)
        asked, answer = parts
        return len(asked & answer) / max(1, len(asked))


@pytest.fixture
def overlap(monkeypatch: pytest.MonkeyPatch) -> Overlap:
    """What `rerank.model` loads, whatever it names."""
    reranker = Overlap()
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: reranker)
    return reranker


@pytest.fixture
def half_asked() -> Callable[[str, str, Any], socket.socket]:
    """(address, path, body) -> the connection of a request whose reply nobody has read."""

    def send(address: str, path: str, body: Any) -> socket.socket:  # noqa: ANN401
        url, content = httpx.URL(address), json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection = socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return connection

    return send


@pytest.fixture
def sealed() -> Callable[[httpx.Client], None]:
    """(api) -> once this returns, IVF-PQ covers the rows of `docs`, if they are enough."""

    def seal(api: httpx.Client) -> None:
        reply = api.post("/v1/collections/docs:rebuild")
        assert reply.status_code == 200, reply.text

    return seal


@pytest.fixture
def llama_index() -> str:
    """A Python that has LlamaIndex, which asks for another openai than ours and so lives elsewhere.

    ``LLAMA_INDEX_PYTHON`` names it; without it the one that `make test` makes is taken.
    """
    python = Path(os.environ.get("LLAMA_INDEX_PYTHON", ".venv-llama-index/bin/python")).absolute()
    if not python.is_file():
        pytest.skip(f"there is no {python}: make test installs LlamaIndex, or LLAMA_INDEX_PYTHON names its Python")
    return str(python)
