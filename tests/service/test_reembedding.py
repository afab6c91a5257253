"""Another form of a live collection: built beside it, put into its place, taken back."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes.base import Document, SearchParams
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import CollectionConflictError, CollectionNotFoundError, StoreUnavailableError
from indexes.filters import parse_filter
from indexes.reembeddings import State
from indexes.store import Change
from indexes.upkeep import IndexPolicy
from models.base import TextKind, TokenIds, Vectors
from models.hashing import HashingEmbedder
from service import reembedding as module
from service.embedders import Embedders
from service.errors import InvalidRequestError
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.ingestor import Ingestor, NewDocument, Written
from service.ingest.mirror import Mirror
from service.library import CollectionOptions, Library
from service.limit_settings import LimitSettings
from service.reembedding import Reembedder, ReembeddingState
from service.settings import ChunkingSettings

PATIENCE_S = 200.0
NARROW = CollectionOptions(embedding_model="narrow")


class Gated(HashingEmbedder):
    """Counting tokens of a text with a gate's word waits for that gate; with a word of ``poison`` embedding fails."""

    def __init__(self, name: str, dimension: int) -> None:
        super().__init__(dimension)
        self.info = replace(self.info, name=name)
        self.gates: dict[str, threading.Event] = {}
        self.entered = threading.Semaphore(0)
        self.poison: set[str] = set()

    def count_tokens(self, text: str) -> int:
        for word, gate in self.gates.items():
            if word in text:
                self.entered.release()
                assert gate.wait(PATIENCE_S)
        return super().count_tokens(text)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        if any(self._ids(word)[0] in ids for word in self.poison for ids in batch):
            raise RuntimeError("the device burps")
        return super().embed(batch)

    def close(self, word: str) -> threading.Event:
        """A closed gate for texts with ``word``."""
        return self.gates.setdefault(word, threading.Event())

    async def reached(self) -> None:
        """Some text waits at a gate."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_S)


@dataclass
class Stage:
    """One life of a server without HTTP."""

    catalog: Catalog
    ingestor: Ingestor
    mirror: Mirror
    reembedder: Reembedder
    changed: set[Collection]
    wide: Gated
    narrow: Gated

    async def put(self, document_id: str, text: str) -> Written:
        document = self.ingestor.prepare(NewDocument(document_id, text))
        return await self.ingestor.put(self.ingestor.accept(await self.ingestor.open("docs"), document))

    async def fill(self, count: int = 20) -> None:
        await asyncio.gather(*(self.put(f"d{n:03}", f"Bees number n{n} sleep.") for n in range(count)))

    def described(self) -> ReembeddingState | None:
        return self.reembedder.describe(self.catalog.route("docs"))

    def state(self) -> str:
        state = self.described()
        return state.state if state else "none"

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110  what it looks at announces nothing
            await asyncio.sleep(0)

    async def switched(self) -> None:
        """Built, and moved."""
        await self.reembedder.start("docs", NARROW)
        await self.until(lambda: self.state() == "switched")

    def halves(self) -> tuple[Collection, Collection]:
        """The collection and its mirror."""
        first, second = self.catalog.route("docs").collections
        return first, second

    def assert_equal(self) -> dict[str, str]:
        """Both have the same documents, each of them is found in both; their texts by id."""
        texts = [documents_of(half) for half in self.halves()]
        assert texts[0] == texts[1]
        for half, embedder in zip(self.halves(), self.in_order(), strict=True):
            assert half.spec.embedding_model == embedder.info.name
            found = found_in(half, embedder, "bees wasps", 1000)
            assert sorted(found) == sorted(texts[0])
        return texts[0]

    def in_order(self) -> list[Gated]:
        """The embedder of the primary, and that of the mirror."""
        pair = [self.wide, self.narrow]
        return pair if self.halves()[0].spec.embedding_model == "wide" else pair[::-1]


def documents_of(collection: Collection) -> dict[str, str]:
    return {id_: collection.document(id_).text for id_, *_ in collection.documents("", 10_000)}


def found_in(collection: Collection, embedder: Gated, query: str, top_k: int = 10) -> list[str]:
    vector = embedder.embed(embedder.tokenize([query], TextKind.QUERY))[0]
    return [hit.chunk.document_id for hit in collection.search(vector, SearchParams(top_k=top_k))]


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]
Live = Callable[[Scenario], None]


@pytest.fixture
def live(
    tmp_path: Path,
    open_engine: Callable[..., AbstractAsyncContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Live:
    """Runs a scenario on this test's data directory, with all gates open when it begins and ends."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    wide, narrow = Gated("wide", 64), Gated("narrow", 32)

    async def staged(scenario: Scenario) -> None:
        async with AsyncExitStack() as stack:
            catalog = Catalog(tmp_path / "data", IndexPolicy(256))
            stack.callback(catalog.close)
            opened = await stack.enter_async_context(open_engine(wide, narrow))
            embedders = Embedders(opened.batchers)
            library = Library(catalog, embedders.infos(), ChunkingSettings(size=16, overlap=0))
            documents, mirror = stack.enter_context(DocumentEmbedder(embedders, with_sentences=False)), Mirror(catalog)
            stack.callback(lambda: [gate.set() for half in (wide, narrow) for gate in half.gates.values()])
            limits, metrics, changed = LimitSettings(), opened.metrics, set[Collection]()
            ingestor = stack.enter_context(Ingestor(library, documents, mirror, limits, metrics, changed.add))
            reembedder = await stack.enter_async_context(Reembedder(library, mirror, documents, changed.add))
            stage = Stage(catalog, ingestor, mirror, reembedder, changed, wide, narrow)
            await asyncio.wait_for(scenario(stage), PATIENCE_S)

    return lambda scenario: asyncio.run(staged(scenario))


def test_there_and_back_and_there_to_stay(live: Live, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill()
        wide = stage.catalog.get("docs")
        await stage.switched()
        narrow = stage.catalog.get("docs")
        assert (narrow.spec.embedding_model, narrow.spec.dimension) == ("narrow", 32)
        assert len(stage.assert_equal()) == 20
        assert narrow in stage.changed  # so that it is sealed like any other
        stage.changed.clear()
        await stage.put("e", "Wasps after the switch.")
        assert stage.changed == {wide, narrow}
        await stage.ingestor.delete("docs", "d003")
        assert "e" in stage.assert_equal()
        await stage.reembedder.roll_back("docs")
        assert (stage.catalog.get("docs"), stage.state()) == (wide, "rolled_back")
        await stage.put("f", "Wasps after the way back.")
        assert set(stage.assert_equal()) >= {"e", "f"}
        await stage.reembedder.start("docs", CollectionOptions())
        await stage.until(lambda: stage.state() == "switched")
        assert stage.catalog.get("docs") is narrow
        await stage.reembedder.finish("docs")
        assert stage.catalog.route("docs").collections == [narrow]
        await stage.put("g", "Wasps at the end.")
        assert len(documents_of(narrow)) == 22

    live(scenario)
    assert len(list((tmp_path / "data" / "collections").iterdir())) == 1


def test_another_chunking_alone(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.put("a", "One two three four five six seven eight. " * 8)
        before = stage.catalog.get("docs").describe().chunks
        await stage.reembedder.start("docs", CollectionOptions(chunk_size=32, chunk_overlap=8))
        await stage.until(lambda: stage.state() == "switched")
        spec = stage.catalog.get("docs").spec
        assert (spec.embedding_model, spec.chunk_size, spec.chunk_overlap) == ("wide", 32, 8)
        assert stage.catalog.get("docs").describe().chunks < before

    live(scenario)


def test_reads_do_not_see_what_is_half_built(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill()
        gate = stage.narrow.close("n19 ")
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        primary, mirror = stage.halves()
        assert len(documents_of(mirror)) < 20
        assert len(found_in(stage.catalog.get("docs"), stage.wide, "bees", 100)) == 20
        state = stage.described()
        assert state is not None
        assert (state.state, state.total, state.error) == ("building", 20, None)
        assert state.done < 20
        gate.set()
        await stage.until(lambda: stage.state() == "switched")
        assert stage.halves() == (mirror, primary)
        assert stage.described() == replace(state, state="switched", done=20)

    live(scenario)


@pytest.mark.parametrize("deletes", [False, True])
def test_the_total_follows_what_is_written_meanwhile(live: Live, deletes: bool) -> None:
    """Behind the page that is being copied."""

    async def scenario(stage: Stage) -> None:
        await stage.fill(100)
        gate, seen = stage.narrow.close("n10 "), list[tuple[int, int]]()
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        for n in range(70, 100):
            if deletes:
                await stage.ingestor.delete("docs", f"d{n:03}")
            else:
                await stage.put(f"e{n:03}", f"Wasps number n{n} sleep.")
        gate.set()

        def switched() -> bool:
            state = stage.described()
            assert state is not None
            seen.append((state.done, state.total))
            return state.state == "switched"

        await stage.until(switched)
        assert seen[0] == (0, 100)
        assert all(done <= total for done, total in seen)
        assert seen[-1] == ((70, 70) if deletes else (130, 130))

    live(scenario)


@pytest.mark.parametrize("deletes", [False, True])
def test_a_newer_write_wins_over_the_copy_of_an_older_one(live: Live, deletes: bool) -> None:
    """The copying task has read the old version, and is about to write it when the new one is there already."""

    async def scenario(stage: Stage) -> None:
        await stage.put("a", "The slow bees.")
        gate = stage.narrow.close("slow")
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        if deletes:
            await stage.ingestor.delete("docs", "a")
        else:
            await stage.put("a", "The quick wasps.")
        gate.set()
        await stage.until(lambda: stage.state() == "switched")
        assert stage.assert_equal() == ({} if deletes else {"a": "The quick wasps."})

    live(scenario)


def test_a_number_is_taken_before_the_reading(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that comes in while the copying task reads has the higher number."""

    async def scenario(stage: Stage) -> None:
        await stage.fill(1)
        await stage.switched()
        route = stage.mirror.route("docs")
        mirror = route.mirror
        assert mirror is not None
        read, overtaking = route.primary.document, []

        def reading(document_id: str) -> Document:
            found = read(document_id)
            overtaking.append(mirror.accept())
            return found

        monkeypatch.setattr(route.primary, "document", reading)
        number, _ = stage.mirror.take(route, "d000")
        assert number < overtaking[0]

    live(scenario)


def test_a_write_that_was_prepared_before_the_start_reaches_both(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        gate = stage.wide.close("slow")
        writing = asyncio.create_task(stage.put("a", "The slow bees."))
        await stage.wide.reached()
        await stage.switched()
        gate.set()
        assert (await writing).status == "created"
        assert stage.assert_equal()["a"] == "The slow bees."

    live(scenario)


@pytest.mark.parametrize("deletes", [False, True])
def test_writes_under_way_keep_their_order_across_the_switch(live: Live, deletes: bool) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        gate = stage.wide.close("slow")
        slow = asyncio.create_task(stage.put("a", "The slow bees."))
        await stage.wide.reached()
        await stage.switched()
        if deletes:
            await stage.ingestor.delete("docs", "a")
        else:
            await stage.put("a", "The quick wasps.")
        gate.set()
        await slow
        assert stage.assert_equal().get("a") == (None if deletes else "The quick wasps.")

    live(scenario)


@pytest.mark.parametrize("deletes", [False, True])
def test_a_write_that_is_late_does_not_undo_one_that_was_done_before_the_switch(live: Live, deletes: bool) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        document = stage.ingestor.prepare(NewDocument("a", "The slow bees."))
        late = stage.ingestor.accept(await stage.ingestor.open("docs"), document)
        await stage.put("a", "The quick wasps.")
        if deletes:
            await stage.ingestor.delete("docs", "a")
        moved: list[tuple[str, Collection | None]] = []
        stage.mirror.on_move = lambda name: moved.append((name, late.place.collection))
        await stage.switched()
        await stage.until(lambda: moved)  # the state is seen a moment before it is told
        assert moved == [("docs", stage.catalog.get("docs"))]
        assert await stage.ingestor.is_overtaken("docs", "a", {}, late.place)
        assert (await stage.ingestor.put(late)).is_superseded
        assert stage.assert_equal().get("a") == (None if deletes else "The quick wasps.")

    live(scenario)


def test_a_write_to_a_collection_that_was_deleted_is_not_one_to_its_successor(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(1)
        document = stage.ingestor.prepare(NewDocument("a", "The slow bees."))
        late = stage.ingestor.accept(await stage.ingestor.open("docs"), document)
        await asyncio.to_thread(stage.catalog.drop, "docs")
        await stage.fill(1)
        with pytest.raises(CollectionNotFoundError):
            await stage.ingestor.put(late)
        assert list(documents_of(stage.catalog.get("docs"))) == ["d000"]

    live(scenario)


def test_places_are_given_again_after_a_restart_wherever_the_name_leads(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(2)
        route = await stage.ingestor.open("docs")
        place = stage.ingestor.place(route)
        identity, seq = route.primary.identity, place.seq
        again = Mirror(stage.catalog)
        again.hold_back("docs", identity, seq + 100)
        assert again.accept("docs").seq > seq + 100
        same = again.accept_again("docs", identity, seq)
        assert (same.collection, same.seq) == (route.primary, seq)
        assert again.accept_again("docs", "another", seq).collection is None
        await stage.switched()
        moved = again.accept_again("docs", identity, seq)
        assert moved.collection is stage.catalog.route("docs").primary
        assert moved.former == [(route.primary, seq)]

    live(scenario)


def test_writes_accepted_while_the_name_moves_keep_their_order_too(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        route, writes = await stage.ingestor.open("docs"), []
        move = stage.catalog.move

        def accept(text: str, *ids: str) -> None:
            prepared = [stage.ingestor.prepare(NewDocument(document_id, text)) for document_id in ids]
            writes.extend(stage.ingestor.accept(route, document) for document in prepared)

        def moving(name: str, state: State) -> None:
            accept("Bees before the name is seen to move.", "b", "c")
            move(name, state)
            accept("Bees after it.", "a", "c")

        monkeypatch.setattr(stage.catalog, "move", moving)
        accept("Bees of long ago.", "a", "b")
        await stage.switched()
        await stage.until(lambda: len(writes) == 6)  # the state is seen a moment before the last are accepted
        for write in reversed(writes):
            await stage.ingestor.put(write)
        texts = stage.assert_equal()
        assert (texts["a"], texts["c"]) == ("Bees after it.",) * 2
        assert texts["b"] == "Bees before the name is seen to move."

    live(scenario)


@pytest.mark.parametrize(("first", "last"), [("put", "put"), ("put", "delete"), ("delete", "put")])
def test_a_write_that_was_overtaken_between_its_two_commits_leaves_the_mirror_alone(
    live: Live, monkeypatch: pytest.MonkeyPatch, first: str, last: str
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        await stage.switched()
        primary, committed, leave = stage.catalog.get("docs"), threading.Event(), threading.Event()
        commit = getattr(primary, first)

        def slow(*change: Any) -> Change:  # noqa: ANN401
            done: Change = commit(*change)
            if not committed.is_set():
                committed.set()
                assert leave.wait(PATIENCE_S)
            return done

        monkeypatch.setattr(primary, first, slow)
        write = {"put": lambda text: stage.put("d003", text), "delete": lambda _: stage.ingestor.delete("docs", "d003")}
        overtaken = asyncio.create_task(write[first]("The slow bees."))
        assert await asyncio.to_thread(committed.wait, PATIENCE_S)
        await write[last]("The quick wasps.")
        leave.set()
        await overtaken
        assert stage.assert_equal().get("d003") == (None if last == "delete" else "The quick wasps.")

    live(scenario)


def test_writes_all_the_time_end_up_in_both(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        seed = random.randrange(1000)  # noqa: S311
        print(f"seed {seed}")  # noqa: T201  names the data of a failure
        rng = random.Random(seed)  # noqa: S311
        expected: dict[str, str] = {}
        over = asyncio.Event()

        async def write(writer: int) -> None:
            while not over.is_set():
                document_id = f"w{writer}-{rng.randrange(8)}"
                if rng.random() < 0.3:
                    await stage.ingestor.delete("docs", document_id)
                    expected.pop(document_id, None)
                else:
                    text = f"Bees of {rng.randrange(3)}."
                    await stage.put(document_id, text)
                    expected[document_id] = text

        await stage.fill(5)
        writers = [asyncio.create_task(write(writer)) for writer in range(4)]
        await stage.switched()
        for _ in range(3):
            await stage.reembedder.roll_back("docs")
            await stage.until(lambda: stage.state() == "rolled_back")
            await stage.reembedder.start("docs", CollectionOptions())
            await stage.until(lambda: stage.state() == "switched")
        over.set()
        await asyncio.gather(*writers)
        texts = stage.assert_equal()
        assert {id_: text for id_, text in texts.items() if id_.startswith("w")} == expected

    live(scenario)


def test_a_delete_by_filter_is_no_error(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        await stage.switched()
        deletes_none = parse_filter({"type": "eq", "key": "ward", "value": "nine"})
        await stage.ingestor.delete_matching("docs", deletes_none)
        assert stage.described().error is None  # type: ignore[union-attr]
        stage.wide.poison = {"wasps"}
        await stage.put("a", "The wasps.")
        await stage.ingestor.delete_matching("docs", deletes_none)
        assert "document 'a'" in str(stage.described())

    live(scenario)


def test_a_mirror_that_cannot_be_written_costs_no_write_and_is_made_up_for(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        await stage.switched()
        stage.wide.poison = {"wasps"}
        assert (await stage.put("a", "The wasps.")).status == "created"
        state = stage.described()
        assert state is not None
        assert "document 'a'" in str(state.error)
        _, mirror = stage.halves()
        assert "a" not in documents_of(mirror)
        await stage.reembedder.roll_back("docs")
        await stage.until(lambda: "burps" in str(stage.described()))
        assert stage.state() == "rolling_back"
        assert "a" in documents_of(stage.catalog.get("docs"))
        stage.wide.poison = set()
        await stage.until(lambda: stage.state() == "rolled_back")
        assert stage.assert_equal()["a"] == "The wasps."
        assert stage.described().error is None  # type: ignore[union-attr]

    live(scenario)


def test_building_waits_for_an_embedder_that_fails(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        stage.narrow.poison = {"n3", "wasps"}
        await stage.reembedder.start("docs", NARROW)
        await stage.until(lambda: "burps" in str(stage.described()))
        await stage.put("a", "The wasps.")
        assert stage.state() == "building"
        stage.narrow.poison = set()
        await stage.until(lambda: stage.state() == "switched")
        assert len(stage.assert_equal()) == 6

    live(scenario)


def test_what_a_crash_left_is_made_up_for(live: Live) -> None:
    async def building(stage: Stage) -> None:
        await stage.fill()
        stage.narrow.close("n11 ")
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        _, mirror = stage.halves()
        document, seq = Document("extra", "", "Nobody wrote bees.", {}, None, "text", b"x"), mirror.accept()
        mirror.put(document, [], np.empty((0, 32), np.float32), seq)

    async def going_on(stage: Stage) -> None:
        stage.narrow.gates.clear()
        await stage.until(lambda: stage.state() == "switched")
        assert len(stage.assert_equal()) == 20
        _, mirror = stage.halves()
        mirror.delete("d001", mirror.accept())  # as if the process had died between both commits
        old = Document("d002", "", "Older bees.", {}, None, "text", b"x")
        mirror.put(old, [], np.empty((0, 64), np.float32), mirror.accept())

    async def switched(stage: Stage) -> None:
        await stage.reembedder.roll_back("docs")
        await stage.until(lambda: stage.state() == "rolled_back")
        assert len(stage.assert_equal()) == 20

    async def rolled_back(stage: Stage) -> None:
        assert stage.state() == "rolled_back"
        await stage.until(lambda: stage.described().done == 20)  # type: ignore[union-attr]
        await stage.reembedder.finish("docs")
        assert stage.state() == "none"

    async def alone(stage: Stage) -> None:
        assert stage.state() == "none"
        assert stage.catalog.get("docs").spec.embedding_model == "wide"

    for scenario in (building, going_on, switched, rolled_back, alone):
        live(scenario)


def test_giving_up_before_the_switch(live: Live, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill()
        stage.narrow.close("n11 ")
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        await stage.reembedder.roll_back("docs")
        assert stage.state() == "none"
        assert len(list((tmp_path / "data" / "collections").iterdir())) == 1
        stage.narrow.gates.pop("n11 ").set()
        await stage.switched()
        assert len(stage.assert_equal()) == 20

    live(scenario)


def test_a_collection_is_dropped_with_its_mirror(live: Live, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill()
        stage.narrow.close("n11 ")
        await stage.reembedder.start("docs", NARROW)
        await stage.narrow.reached()
        await asyncio.to_thread(stage.catalog.drop, "docs")
        assert list((tmp_path / "data" / "collections").iterdir()) == []
        stage.narrow.gates.pop("n11 ").set()
        await stage.fill(3)
        assert stage.state() == "none"
        assert len(documents_of(stage.catalog.get("docs"))) == 3

    live(scenario)


def test_an_alias_goes_along(live: Live) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.fill(3)
        stage.catalog.set_alias("live", "docs")
        await stage.reembedder.start("live", NARROW)
        await stage.until(lambda: stage.state() == "switched")
        assert stage.catalog.get("live") is stage.catalog.get("docs")
        await stage.reembedder.finish("live")

    async def later(stage: Stage) -> None:
        assert stage.catalog.aliases() == {"live": "docs"}
        assert stage.catalog.get("live").spec.embedding_model == "narrow"

    live(scenario)
    live(later)


Action = Callable[[Stage], Awaitable[None]]


def again(stage: Stage) -> Awaitable[None]:
    return stage.reembedder.start("docs", NARROW)


def finish(stage: Stage) -> Awaitable[None]:
    return stage.reembedder.finish("docs")


def roll_back(stage: Stage) -> Awaitable[None]:
    return stage.reembedder.roll_back("docs")


def test_what_does_not_fit_the_state_is_a_conflict(live: Live) -> None:
    async def refused(stage: Stage, said: str, *actions: Action) -> None:
        for action in actions:
            with pytest.raises(CollectionConflictError, match=said):
                await action(stage)

    async def scenario(stage: Stage) -> None:
        await stage.fill(5)
        await refused(stage, "'docs' is not being re-embedded", finish, roll_back)
        same = CollectionOptions(embedding_model="wide", chunk_size=16)
        await refused(stage, "already as asked", lambda stage: stage.reembedder.start("docs", same))
        with pytest.raises(InvalidRequestError, match=r"'bert' is not served here.*embedding\.also"):
            await stage.reembedder.start("docs", CollectionOptions(embedding_model="bert"))
        gate = stage.narrow.close("n3 ")
        await again(stage)
        await refused(stage, "is being re-embedded already, and is building", again)
        await refused(stage, "is building: the name has not moved yet", finish)
        gate.set()
        await stage.until(lambda: stage.state() == "switched")
        await refused(stage, "and is switched", again)
        await roll_back(stage)
        other = CollectionOptions(chunk_size=20)
        await refused(stage, "and is rolled_back", lambda stage: stage.reembedder.start("docs", other))
        await roll_back(stage)
        assert stage.state() == "rolled_back"

    live(scenario)


def test_a_damaged_mirror_costs_nothing_but_itself(live: Live, tmp_path: Path) -> None:
    async def before(stage: Stage) -> None:
        await stage.fill(5)
        wide = {folder.name for folder in (tmp_path / "data" / "collections").iterdir()}
        await stage.switched()
        (tmp_path / "old").write_text(wide.pop())

    async def after(stage: Stage) -> None:
        state = stage.described()
        assert state is not None
        assert "store.db" in str(state.error)
        await stage.put("a", "The wasps.")
        with pytest.raises(StoreUnavailableError, match="the mirror of 'docs' could not be opened"):
            await stage.reembedder.roll_back("docs")
        assert len(documents_of(stage.catalog.get("docs"))) == 6

    live(before)
    store = tmp_path / "data" / "collections" / (tmp_path / "old").read_text() / "store.db"
    store.write_bytes(b"no database" * 1000)
    live(after)
