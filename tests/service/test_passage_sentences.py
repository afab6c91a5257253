"""What may be quoted: read where it is stored, and embedded where it is not."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from indexes.errors import StoreUnavailableError
from indexes.local_collection import LocalCollection
from models.base import TextKind, TokenIds
from models.hashing import HashingEmbedder

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

QUESTION = {"query": "When do the honey bees sleep?", "collection": "docs"}
TEXT = "# Bees\n\nNobody knows everything about insects.\n\nThe honey bees sleep in the winter! The hive is warm then."


class Told(HashingEmbedder):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: list[str] = []

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        if kind is TextKind.DOCUMENT:
            self.documents += texts
        return super().tokenize(texts, kind)


def asked(api: httpx.Client) -> dict[str, Any]:
    reply: dict[str, Any] = api.post("/v1/query", json=QUESTION).raise_for_status().json()
    return {key: reply[key] for key in ("answer", "status", "citations", "confidence", "degraded")}


@pytest.fixture
def document() -> dict[str, object]:
    return {"text": TEXT, "title": "Insects"}


def test_stored_and_embedded_sentences_answer_alike(open_api: OpenApi, document: dict[str, object]) -> None:
    embedder, stored, bare = Told(), {"sentence_vectors": True}, {"sentence_vectors": False}
    with open_api(embedder=embedder, answer=stored) as api:
        api.put("/v1/collections/docs/documents/bees", json=document)
        ingested = len(embedder.documents)
        assert "Insects\nBees\nThe honey bees sleep in the winter!" in embedder.documents
        answer = asked(api)
        assert len(embedder.documents) == ingested, "nothing is embedded while somebody waits"
    assert answer["status"] == "ok"
    assert "The honey bees sleep in the winter!" in answer["answer"]
    for citation in answer["citations"]:
        assert TEXT[citation["document_start"] : citation["document_end"]] == citation["quote"]
    embedder = Told()
    with open_api(embedder=embedder, answer=bare) as api:
        api.delete("/v1/collections/docs/documents/bees")
        api.put("/v1/collections/docs/documents/bees", json=document)
        ingested = len(embedder.documents)
        assert asked(api) == answer
        assert "Insects\nBees\nThe honey bees sleep in the winter!" in embedder.documents[ingested:]


@pytest.mark.parametrize("is_stored", [True, False])
def test_every_sentence_of_what_was_joined_may_be_quoted(open_api: OpenApi, is_stored: bool) -> None:
    """Those of each hit, and of the text around."""
    text = " ".join(f"Sentence {n} is about topic{n} and nothing else at all." for n in range(12))
    with open_api(answer={"neighbours": 1, "min_confidence": 0, "sentence_vectors": is_stored}) as api:
        api.put("/v1/collections/docs", json={"chunking": {"size": 16, "overlap": 0}})
        api.put("/v1/collections/docs/documents/a", json={"text": text})
        reply = api.post("/v1/query", json={"query": "topic2 topic5 topic9", "collection": "docs", "top_k": 10}).json()
    assert [f"topic{n}" for n in range(12) if f"topic{n} " in reply["answer"]] == ["topic2", "topic5", "topic9"]


def test_sentences_that_cannot_be_read_are_embedded(
    open_api: OpenApi, document: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailableError("the disk is gone")

    with open_api() as api:
        api.put("/v1/collections/docs/documents/bees", json=document)
        answer = asked(api)
        with monkeypatch.context() as patch:
            patch.setattr(LocalCollection, "sentences_of", refuse)
            assert asked(api) == answer
