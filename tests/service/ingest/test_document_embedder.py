"""While the device computes, what it is to compute next is cut and tokenized."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from indexes.base import Document
from indexes.sentence_vectors import SentenceVectors
from indexes.spec import CollectionSpec
from models.base import TextKind
from models.hashing import HashingEmbedder
from service.embedders import Embedders
from service.errors import EmbedderUnavailableError
from service.ingest.document_embedder import Content, DocumentEmbedder

PATIENCE_S = 200.0
INFO = HashingEmbedder().info
SPEC = CollectionSpec(INFO.name, INFO.fingerprint, INFO.dimension, chunk_size=4, chunk_overlap=0)

OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


@dataclass
class Opened:
    """A device whose forwards wait at a gate, and what asks it."""

    device: Any
    engine: Any
    documents: DocumentEmbedder

    def asked(self, chunks: int, name: str = "doc") -> "asyncio.Task[Content]":
        text = " ".join(f"{name}{number}a {name}{number}b {name}{number}c {name}{number}d" for number in range(chunks))
        document = Document(name, "", text, {}, None, "text", b"")
        return asyncio.create_task(self.documents.content(document, SPEC))

    async def tokenized(self, texts: int) -> None:
        """So many are ready; short ones are queued in the same turn of the loop."""
        while len(self.device.tokenized) < texts:  # noqa: ASYNC110  the engine announces nothing
            await asyncio.sleep(0)


@pytest.fixture
def opened(scripted: Any, open_engine: OpenEngine) -> Callable[..., AbstractAsyncContextManager[Opened]]:  # noqa: ANN401
    @asynccontextmanager
    async def open_(*, with_sentences: bool = False) -> AsyncIterator[Opened]:
        device = scripted(is_open=False)
        async with open_engine(device) as engine:
            with DocumentEmbedder(Embedders(engine.batchers), with_sentences=with_sentences) as documents:
                try:
                    yield Opened(device, engine, documents)
                finally:
                    device.gate.set()

    return open_


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def test_documents_are_cut_while_another_is_computed(opened: Any) -> None:  # noqa: ANN401
    """All of those that come meanwhile share the next forward."""

    async def scenario() -> None:
        async with opened() as it:
            first = it.asked(1, "one")
            await it.device.entered()
            others = [it.asked(3, f"n{number}") for number in range(6)]
            await it.tokenized(1 + 6 * 3)
            it.device.gate.set()
            contents = await asyncio.gather(first, *others)
            assert [len(content.chunks) for content in contents] == [1] + [3] * 6
            assert [len(batch) for batch in it.device.batches] == [1, 18]

    run(scenario())


def test_the_next_slice_of_a_long_document_waits_behind_the_one_that_is_computed(opened: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        async with opened() as it:
            long = it.asked(100)
            await it.device.entered()
            await it.tokenized(64)
            assert len(it.device.tokenized) == 64  # and no more than that: the queue has a bound
            it.device.gate.set()
            content = await long
        expected = HashingEmbedder().embed(
            HashingEmbedder().tokenize([chunk.text for chunk in content.chunks], TextKind.DOCUMENT)
        )
        assert len(content.chunks) == 100
        np.testing.assert_array_equal(content.vectors, expected)

    run(scenario())


def test_a_slice_that_fails_ends_the_others(opened: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        async with opened() as it:
            tasks = asyncio.all_tasks()
            long = it.asked(200)
            await it.device.entered()
            it.device.failures.append(RuntimeError("the device burps"))
            it.device.gate.set()
            with pytest.raises(EmbedderUnavailableError, match="burps"):
                await long
            assert asyncio.all_tasks() == tasks
            assert it.engine.queued() == 0

    run(scenario())


def test_who_leaves_takes_every_slice_along(opened: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        async with opened() as it:
            tasks = asyncio.all_tasks()
            long = it.asked(200)
            await it.device.entered()
            await it.tokenized(64)
            long.cancel()
            with pytest.raises(asyncio.CancelledError):
                await long
            assert asyncio.all_tasks() == tasks
            assert it.engine.queued() == 0
            it.device.gate.set()

    run(scenario())


def test_sentences_have_the_vectors_of_their_texts_behind_title_and_headings(opened: Any) -> None:  # noqa: ANN401
    """More of them than a slice holds, and each text is embedded once."""
    said = [f"Bee number {number} sleeps." for number in range(70)]
    text = f"# Hives\n\n{' '.join([*said, said[0]])}"
    spec = CollectionSpec(INFO.name, INFO.fingerprint, INFO.dimension, chunk_size=24, chunk_overlap=8)

    async def scenario() -> None:
        async with opened(with_sentences=True) as it:
            it.device.gate.set()
            content = await it.documents.content(Document("doc", "Bees", text, {}, None, "markdown", b""), spec)
            tokenized = list(it.device.tokenized)
        assert len(content.sentences) == len(content.chunks)
        quoted = {text[start:end] for one in content.sentences for start, end in one.spans}
        assert set(said) <= quoted
        assert len(tokenized) == len(content.chunks) + len(quoted)
        for chunk, sentences in zip(content.chunks, content.sentences, strict=True):
            assert all(chunk.start <= start < end <= chunk.end for start, end in sentences.spans)
            _compare(text, sentences)

    run(scenario())


def _compare(text: str, sentences: SentenceVectors) -> None:
    embedder = HashingEmbedder()
    texts = [f"Bees\nHives\n{text[start:end]}" for start, end in sentences.spans]
    for place, vector in enumerate(embedder.embed(embedder.tokenize(texts, TextKind.DOCUMENT))):
        assert sentences.vectors.cosines(vector)[place] == pytest.approx(1, abs=0.01)


def test_nobody_wants_sentences_where_they_are_turned_off(opened: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        async with opened() as it:
            it.device.gate.set()
            content = await it.asked(3)
            assert (content.sentences, len(it.device.tokenized)) == ([], 3)

    run(scenario())
