"""Rag: the story of one question, from its text to an answer with citations."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from indexes.base import Hit, SearchParams, Vectors
from indexes.collection import Collection, Searched
from indexes.errors import StoreUnavailableError
from models.base import TextKind
from service.batching import Asker
from service.budget import Deadline
from service.diversity import OVERFETCH, diversified, left_out
from service.embedders import Embedders
from service.errors import InvalidRequestError, QuarryError
from service.generation.base import Cited, Delta, Event, Finished, GenerationRequest, Generator, LlmCall, Passage
from service.generation.prompt import NO_ANSWER
from service.library import Library
from service.scheduling.job import Lane
from service.settings import EXTRACTIVE, Settings
from service.telemetry.timings import Timings

_log = logging.getLogger("quarry.rag")

Status = Literal["ok", "partial", "no_answer"]
OnFailure = Literal["degrade", "fail"]

# Kept back from a language model's deadline, so that there is time for the extractive answer when it is late.
_FALLBACK_RESERVE_S = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """A validated question.

    Attributes:
        llm: name of a generator; None takes the configured default.
        max_tokens: longest answer; None takes the configured default.
        caller: whose share of the device it counts against.
    """

    text: str
    collection: str
    params: SearchParams
    deadline: Deadline
    llm: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    on_failure: OnFailure = "degrade"
    caller: str = ""
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the collection knows about a question.

    Attributes:
        vector: ``(dimension,)``, of the question.
        fetched: hits that were asked of the index, to choose from.
    """

    collection: Collection
    searched: Searched
    vector: Vectors
    fetched: int

    @property
    def hits(self) -> Sequence[Hit]:
        """Best first."""
        return self.searched.hits

    @property
    def index_version(self) -> int:
        """Of the collection as it was searched."""
        return self.searched.version


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in the answer and the place in a document it rests on; ``quote`` is the document's slice."""

    marker: int
    chunk_id: str
    document_id: str
    document_start: int
    document_end: int
    answer_start: int
    answer_end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an answer's stream, and the whole of it."""

    text: str
    status: Status
    no_answer_reason: str | None
    citations: Sequence[Citation]
    finish_reason: str
    usage: Mapping[str, int]
    degraded: Sequence[str]
    invalid_markers: int = 0


@dataclass(frozen=True, slots=True)
class _Fallback:
    """A generator failed, and the ladder goes one rung down: ``rung`` is the one that was lost."""

    rung: str


class Rag:
    """Retrieves and answers.

    Args:
        generators: by name; ``extractive`` is one of them.
        readers: threads for index searches and reads of text.
        on_search: called with the collection after every search of it.
    """

    def __init__(
        self,
        library: Library,
        embedders: Embedders,
        generators: Mapping[str, Generator],
        readers: Executor,
        settings: Settings,
        on_search: Callable[[Collection], None],
    ) -> None:
        self._library = library
        self._embedders = embedders
        self._generators = generators
        self._readers = readers
        self._settings = settings
        self._on_search = on_search

    async def retrieve(self, question: Question) -> Retrieval:
        """Embed the question, search its collection.

        Raises:
            CollectionNotFoundError, CollectionConflictError, OverloadedError, EmbedderUnavailableError,
            DeadlineExceededError: naming the stage.
        """
        while True:
            collection = self._library.get(question.collection)
            try:
                return await self._retrieved(question, collection)
            except StoreUnavailableError:
                if self._library.find(question.collection) is collection:
                    raise  # else the name moved, and what it led to is gone

    async def _retrieved(self, question: Question, collection: Collection) -> Retrieval:
        self._generator_name(question)
        timings = question.timings
        async with question.deadline.enforced("embed"):
            embedder = self._embedders.that_made(collection.spec.fingerprint)
            embedded = await embedder.embed_query(question.text, Asker(question.caller, question.deadline))
        timings.add("queue", embedded.queue_s)
        timings.add("embed", embedded.forward_s)
        vector = embedded.vectors[0]
        params, fetched = question.params, self._fetched(question.params.top_k)
        search = partial(self._search, collection, vector, params, fetched)
        async with question.deadline.enforced("search"):
            with timings.stage("search"):
                searched = await asyncio.get_running_loop().run_in_executor(self._readers, search)
        self._on_search(collection)
        return Retrieval(collection, searched, vector, fetched)

    def _fetched(self, top_k: int) -> int:
        return OVERFETCH * top_k if self._settings.retrieval.repeat_penalty else top_k

    def _search(self, collection: Collection, vector: Vectors, params: SearchParams, fetched: int) -> Searched:
        """On a reader thread."""
        wide = collection.searched(vector, replace(params, top_k=fetched))
        hits = diversified(wide.hits, params.top_k, self._settings.retrieval.repeat_penalty)
        dropped = [*left_out(wide.hits, hits), *wide.dropped] if params.explain else ()
        return replace(wide, hits=hits, dropped=dropped)

    async def stream(self, question: Question, retrieval: Retrieval) -> AsyncGenerator[Delta | Citation | Answer, None]:
        """The answer as it is written; the last item is the whole of it.

        Raises:
            QuarryError: with ``on_failure="fail"``, or after text was already handed out.
        """
        events = self._generated(question, retrieval, held=False)
        async with aclosing(self._told(question, retrieval, events)) as items:
            async for item in items:
                yield item

    async def answer(self, question: Question, retrieval: Retrieval) -> Answer:
        """The whole answer. A language model that fails in mid-answer is replaced here, as nothing was shown yet.

        Raises:
            QuarryError: with ``on_failure="fail"``.
        """
        events = self._generated(question, retrieval, held=True)
        *_, last = [item async for item in self._told(question, retrieval, events)]
        assert isinstance(last, Answer)  # noqa: S101  what _told promises
        return last

    async def _told(
        self, question: Question, retrieval: Retrieval, events: AsyncGenerator[Event | _Fallback, None]
    ) -> AsyncGenerator[Delta | Citation | Answer, None]:
        """Events with citations made whole, then the Answer that sums them up."""
        hits = {passage.number: passage.hit for passage in self._passages(retrieval)}
        texts: list[str] = []
        citations: list[Citation] = []
        degraded: list[str] = []
        finished = Finished("stop", abstained=True)
        with question.timings.stage("llm_total"):
            async with aclosing(events):
                async for event in events:
                    match event:
                        case Delta(text):
                            texts.append(text)
                            yield event
                        case Cited():
                            citations.append(_citation(event, hits[event.number]))
                            yield citations[-1]
                        case Finished():
                            finished = event
                        case _Fallback(rung):
                            degraded.append(rung)
        yield _summed(texts, citations, finished, degraded)

    async def _generated(
        self, question: Question, retrieval: Retrieval, *, held: bool
    ) -> AsyncGenerator[Event | _Fallback, None]:
        """Events of the generator; of the extractive one when that fails before anything was handed on.

        Args:
            held: hand on nothing before the generator has finished.
        """
        passages = self._passages(retrieval)
        rungs = dict.fromkeys((self._generator_name(question), EXTRACTIVE)) if passages else {}
        handed_on = False
        for name in rungs:
            waiting: list[Event] = []
            start, first = time.perf_counter(), None
            try:
                request = self._request(question, retrieval, passages, name)
                async with aclosing(self._generators[name].generate(request)) as events:
                    async for event in events:
                        if first is None and isinstance(event, Delta):
                            first = time.perf_counter() - start
                        if held:
                            waiting.append(event)
                        else:
                            handed_on = True
                            yield event
            except QuarryError as error:
                if handed_on or question.on_failure == "fail":
                    raise
                _log.warning("generator %s failed: %s: %s", name, type(error).__name__, error)
                yield _Fallback(EXTRACTIVE if name == EXTRACTIVE else "llm")
                continue
            question.timings.add("llm_ttft", first or 0.0)
            for event in waiting:
                yield event
            return

    def _passages(self, retrieval: Retrieval) -> list[Passage]:
        """The hits a generator is given: near enough to the question, numbered from 1."""
        policy = self._settings.answer
        near = [hit for hit in retrieval.hits if hit.scores["vector"] >= policy.min_score]
        return [Passage(number, hit) for number, hit in enumerate(near[: policy.passages], start=1)]

    def _request(
        self, question: Question, retrieval: Retrieval, passages: Sequence[Passage], name: str
    ) -> GenerationRequest:
        reserve = _FALLBACK_RESERVE_S if name != EXTRACTIVE and question.on_failure == "degrade" else 0.0
        return GenerationRequest(
            question=question.text,
            question_vector=retrieval.vector,
            passages=passages,
            max_tokens=question.max_tokens or self._settings.answer.max_tokens,
            temperature=question.temperature,
            call=LlmCall(question.deadline.earlier(reserve)),
            embed=partial(self._embed, question, retrieval.collection),
        )

    async def _embed(self, question: Question, collection: Collection, texts: Sequence[str]) -> Vectors:
        """In the query lane: somebody waits for the answer."""
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        asker = Asker(question.caller, question.deadline)
        return (await embedder.embed(texts, TextKind.DOCUMENT, Lane.QUERY, asker)).vectors

    def _generator_name(self, question: Question) -> str:
        name = question.llm or self._settings.default_llm
        if name not in self._generators:
            known = ", ".join(sorted(self._generators))
            raise InvalidRequestError(f"llm {name!r} is not configured; there are {known}", param="llm")
        return name


def _citation(cited: Cited, hit: Hit) -> Citation:
    chunk = hit.chunk
    return Citation(
        marker=cited.number,
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        document_start=cited.document_start,
        document_end=cited.document_end,
        answer_start=cited.answer_start,
        answer_end=cited.answer_end,
        quote=chunk.text[cited.document_start - chunk.start : cited.document_end - chunk.start],
    )


def _summed(texts: Sequence[str], citations: Sequence[Citation], finished: Finished, degraded: Sequence[str]) -> Answer:
    """A failed stage makes an answer partial; only a generator that worked can say that there is none."""
    status: Status = "partial" if degraded else "no_answer" if finished.abstained else "ok"
    return Answer(
        text="".join(texts) or (NO_ANSWER if status == "no_answer" else ""),
        status=status,
        no_answer_reason="no_relevant_passage" if status == "no_answer" else None,
        citations=citations,
        finish_reason=finished.reason,
        usage=finished.usage,
        degraded=degraded,
        invalid_markers=finished.invalid_markers,
    )
