"""From text to durable, searchable chunks, in the order of acceptance."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from indexes.base import Document, SearchParams
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import InvalidNameError
from indexes.filters import parse_filter
from indexes.upkeep import IndexPolicy
from models.base import TextKind, TokenIds, Vectors
from models.hashing import HashingEmbedder
from service.embedders import Embedders
from service.errors import EmbedderUnavailableError, EmptyDocumentError, InvalidRequestError, OverloadedError
from service.ingest import ingestor as module
from service.ingest.document_embedder import Content, DocumentEmbedder
from service.ingest.ingestor import Ingestor, NewDocument, Written
from service.ingest.mirror import Mirror
from service.library import Library
from service.limit_settings import LimitSettings
from service.settings import ChunkingSettings

PATIENCE_S = 200.0
T = TypeVar("T")
Scenario = Callable[[Ingestor], Coroutine[Any, Any, T]]


class Counting(HashingEmbedder):
    """Counts what it embeds; a text with a gate's word waits for that gate."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded = 0
        self.failing = False
        self.gates: dict[str, threading.Event] = {}
        self.entered = threading.Semaphore(0)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        self.embedded += len(batch)
        self.entered.release()
        if self.failing:
            raise RuntimeError("the device burps")
        for word, gate in self.gates.items():
            if any(self._ids(word)[0] in ids for ids in batch):
                assert gate.wait(PATIENCE_S)
        return super().embed(batch)


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "data", IndexPolicy(256))
    yield catalog
    catalog.close()


@pytest.fixture
def changes() -> list[Collection]:
    """Collections whose change was announced."""
    return []


@pytest.fixture
def run(
    catalog: Catalog,
    embedder: Counting,
    changes: list[Collection],
    open_engine: Callable[..., AbstractAsyncContextManager[Any]],
) -> Callable[[Scenario[T]], T]:
    """Runs a scenario with an ingestor."""

    async def staged(scenario: Scenario[T]) -> T:
        async with AsyncExitStack() as stack:
            # One text a forward, so that a document that waits at its gate is alone there.
            opened = await stack.enter_async_context(open_engine(embedder, budget=1))
            embedders = Embedders(opened.batchers)
            library = Library(catalog, embedders.infos(), ChunkingSettings(size=16, overlap=0))
            limits = LimitSettings(document_characters=2000)
            documents = stack.enter_context(DocumentEmbedder(embedders, with_sentences=False))
            mirror = Mirror(catalog)
            ingestor = stack.enter_context(Ingestor(library, documents, mirror, limits, opened.metrics, changes.append))
            return await asyncio.wait_for(scenario(ingestor), PATIENCE_S)

    return lambda scenario: asyncio.run(staged(scenario))


async def put(ingestor: Ingestor, document_id: str, text: str, **fields: Any) -> Written:  # noqa: ANN401
    document = ingestor.prepare(NewDocument(document_id, text, **fields))
    return await ingestor.put(ingestor.accept(await ingestor.open("docs"), document))


def found(catalog: Catalog, text: str) -> list[str]:
    embedder = HashingEmbedder()
    vector = embedder.embed(embedder.tokenize([text], TextKind.QUERY))[0]
    return [hit.chunk.text for hit in catalog.get("docs").search(vector, SearchParams())]


def test_a_document_is_searchable_when_put_returns(
    run: Callable[..., Written], catalog: Catalog, changes: list[Collection]
) -> None:
    written = run(lambda ingestor: put(ingestor, "a", "Honey bees sleep."))
    assert written == Written("a", "created", 1)
    assert found(catalog, "bees") == ["Honey bees sleep."]
    assert changes == [catalog.get("docs")]


def test_the_same_again_is_not_embedded(run: Callable[..., list[Written]], embedder: Counting) -> None:
    async def scenario(ingestor: Ingestor) -> list[Written]:
        first = await put(ingestor, "a", "Honey bees sleep.", metadata={"x": 1, "y": 2})
        embedded = embedder.embedded
        again = await put(ingestor, "a", "Honey bees sleep.", metadata={"y": 2, "x": 1})
        assert embedder.embedded == embedded == 1
        return [first, again]

    assert [written.status for written in run(scenario)] == ["created", "unchanged"]


def test_an_update_replaces(run: Callable[..., Written], catalog: Catalog) -> None:
    async def scenario(ingestor: Ingestor) -> Written:
        await put(ingestor, "a", "Honey bees sleep.")
        return await put(ingestor, "a", "Wasps never sleep.")

    assert run(scenario) == Written("a", "updated", 2)
    assert found(catalog, "bees sleep") == ["Wasps never sleep."]


@pytest.mark.parametrize("change", [{"title": "T"}, {"url": "http://x"}, {"metadata": {"a": 1}}, {"format": "text"}])
def test_whatever_decides_the_chunks_or_the_reply_is_a_change(
    run: Callable[..., Written], change: dict[str, object]
) -> None:
    async def scenario(ingestor: Ingestor) -> Written:
        await put(ingestor, "a", "Honey bees sleep.")
        return await put(ingestor, "a", "Honey bees sleep.", **change)

    assert run(scenario).status == "updated"


def test_the_later_accepted_wins_though_it_is_done_first(run: Callable[..., None], catalog: Catalog) -> None:
    async def scenario(ingestor: Ingestor) -> None:
        docs = await ingestor.open("docs")
        early = ingestor.accept(docs, ingestor.prepare(NewDocument("a", "The slow bees.")))
        late = ingestor.accept(docs, ingestor.prepare(NewDocument("a", "The quick wasps.")))
        await ingestor.put(late)
        assert found(catalog, "wasps") == ["The quick wasps."]
        await ingestor.put(early)

    run(scenario)
    assert found(catalog, "the") == ["The quick wasps."]
    assert catalog.get("docs").document("a").text == "The quick wasps."


def test_a_delete_that_was_accepted_later_wins_over_a_put_under_way(
    run: Callable[..., None], embedder: Counting, catalog: Catalog
) -> None:
    embedder.gates["slow"] = threading.Event()

    async def scenario(ingestor: Ingestor) -> None:
        writing = asyncio.create_task(put(ingestor, "a", "The slow bees."))
        assert await asyncio.to_thread(embedder.entered.acquire, timeout=PATIENCE_S)
        deleted, _ = await ingestor.delete("docs", "a")
        assert not deleted
        embedder.gates["slow"].set()
        await writing

    run(scenario)
    assert found(catalog, "bees") == []


def test_many_puts_of_one_id_end_with_the_last(run: Callable[..., None], catalog: Catalog) -> None:
    async def scenario(ingestor: Ingestor) -> None:
        await ingestor.open("docs")
        await asyncio.gather(*(put(ingestor, "a", f"Bees number n{number}.") for number in range(60)))

    run(scenario)
    assert found(catalog, "bees") == ["Bees number n59."]


@pytest.mark.parametrize("text", ["", " \t\r\n", "\u2003\u00a0"])
def test_an_empty_document_is_refused_before_anything_is_made(
    run: Callable[..., None], catalog: Catalog, embedder: Counting, text: str
) -> None:
    async def scenario(ingestor: Ingestor) -> None:
        with pytest.raises(EmptyDocumentError, match="'a' has no text"):
            ingestor.prepare(NewDocument("a", text))

    run(scenario)
    assert catalog.names() == []
    assert embedder.embedded == 0


@pytest.mark.parametrize(
    ("document", "error", "said"),
    [
        (NewDocument("", "x"), InvalidNameError, "takes 0 bytes"),
        (NewDocument("a\nb", "x"), InvalidNameError, "control character"),
        (NewDocument("a", "x" * 2001), InvalidRequestError, "text has 2001 characters; the limit is 2000"),
        (NewDocument("a", "x", title="x" * 2001), InvalidRequestError, "title has 2001 characters"),
        (NewDocument("a", "x", url="x" * 2001), InvalidRequestError, "url has 2001 characters"),
        (NewDocument("a", "x\0"), InvalidRequestError, "text has a NUL character at offset 1"),
    ],
)
def test_what_is_refused(
    run: Callable[..., None], catalog: Catalog, document: NewDocument, error: type[Exception], said: str
) -> None:
    async def scenario(ingestor: Ingestor) -> None:
        with pytest.raises(error, match=said):
            ingestor.prepare(document)

    run(scenario)
    assert catalog.names() == []


def test_a_failed_forward_stores_nothing_of_the_document(
    run: Callable[..., Written], embedder: Counting, catalog: Catalog
) -> None:
    async def scenario(ingestor: Ingestor) -> Written:
        await put(ingestor, "a", "Honey bees sleep.")
        embedder.failing = True
        with pytest.raises(EmbedderUnavailableError):
            await put(ingestor, "a", "Wasps never sleep.")
        assert found(catalog, "sleep") == ["Honey bees sleep."]
        embedder.failing = False
        return await put(ingestor, "a", "Wasps never sleep.")

    assert run(scenario).status == "updated"


def test_what_jobs_write_is_in_the_way_of_no_request(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING_DOCUMENTS", 1)
    embed, inside = DocumentEmbedder.content, []

    async def waits_if_large(self: DocumentEmbedder, document: Document, *args: Any) -> Content:  # noqa: ANN401
        if document.id.startswith("manual"):
            inside.append(document.id)
            await asyncio.Event().wait()
        return await embed(self, document, *args)

    monkeypatch.setattr(DocumentEmbedder, "content", waits_if_large)

    async def scenario(ingestor: Ingestor) -> None:
        docs = await ingestor.open("docs")
        long = replace(ingestor.prepare(NewDocument("-", "-")), text="x" * 10**6)
        writes = [ingestor.accept(docs, replace(long, id=f"manual-{n}")) for n in range(20)]
        writing = [asyncio.create_task(ingestor.put(replace(write, is_patient=True))) for write in writes]
        assert (await put(ingestor, "small", "Honey bees sleep.")).status == "created"
        assert (await put(ingestor, "b", "More bees.")).status == "created"
        assert len(inside) == 6
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)

    run(scenario)


def test_too_many_waiting_documents_are_refused(
    run: Callable[..., None], embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING_DOCUMENTS", 1)
    embedder.gates["slow"] = threading.Event()

    async def scenario(ingestor: Ingestor) -> None:
        writing = asyncio.create_task(put(ingestor, "a", "The slow bees."))
        assert await asyncio.to_thread(embedder.entered.acquire, timeout=PATIENCE_S)
        with pytest.raises(OverloadedError, match="1 documents are under way; the limit is 1"):
            await put(ingestor, "b", "More bees.")
        embedder.gates["slow"].set()
        await writing
        await put(ingestor, "b", "More bees.")

    run(scenario)


def test_a_long_document_is_many_chunks_in_their_order(run: Callable[..., Written], catalog: Catalog) -> None:
    text = " ".join(f"Sentence number n{number} is here." for number in range(60))
    written = run(lambda ingestor: put(ingestor, "a", text, format="text"))
    assert written.index_version == 1
    documents, chunks = catalog.get("docs").describe().documents, catalog.get("docs").describe().chunks
    assert (documents, chunks) == (1, 20)
    assert catalog.get("docs").document("a").text == text
    for number in (0, 35, 59):
        assert f"n{number} " in found(catalog, f"n{number}")[0]


def test_a_delete_by_filter_wins_over_a_put_under_way_that_it_matches(
    run: Callable[..., list[Any]], embedder: Counting, catalog: Catalog
) -> None:
    embedder.gates["slow"] = threading.Event()

    async def scenario(ingestor: Ingestor) -> list[Any]:
        await put(ingestor, "b", "Honey bees sleep.", metadata={"tag": "x"})
        await put(ingestor, "c", "Honey bees eat.")
        embedder.entered = threading.Semaphore(0)
        writing = asyncio.create_task(put(ingestor, "a", "The slow bees.", metadata={"tag": ["x", "y"]}))
        assert await asyncio.to_thread(embedder.entered.acquire, timeout=PATIENCE_S)
        tagged = parse_filter({"type": "eq", "key": "tag", "value": "x"})
        deleted, version = await ingestor.delete_matching("docs", tagged)
        embedder.gates["slow"].set()
        await writing
        return [deleted, version]

    deleted, version = run(scenario)
    assert deleted == 1
    assert found(catalog, "bees") == ["Honey bees eat."]
    assert catalog.get("docs").version > version


def test_delete_says_whether_there_was_one(run: Callable[..., list[Any]], catalog: Catalog) -> None:
    async def scenario(ingestor: Ingestor) -> list[Any]:
        await put(ingestor, "a", "Honey bees sleep.")
        with pytest.raises(InvalidNameError):
            await ingestor.delete("docs", "")
        return [await ingestor.delete("docs", "a"), await ingestor.delete("docs", "a")]

    assert run(scenario) == [(True, 2), (False, 3)]
    assert found(catalog, "bees") == []
