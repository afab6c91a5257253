"""Retriever: the embedding of a question and the search of its collection, each within its budget."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from indexes.base import SearchParams, Vectors
from indexes.collection import Collection
from indexes.errors import StoreUnavailableError
from indexes.searched import Searched
from models.base import TextKind
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.diversity import OVERFETCH, diversified, left_out
from service.embedders import Embedders
from service.errors import QuarryError
from service.library import Library
from service.pace import Pace
from service.plan import Plan
from service.preprocessing import Prepared, prepared
from service.question import Question, ReadQuery, Retrieval
from service.rechecks import Rechecks
from service.scheduling.job import Lane
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class RetrievalTime:
    """What a retrieval would take that began now; seconds.

    Attributes:
        queue_s: before its forward is launched.
        embed_s: of the forward.
        search_s: as searches usually take; None where none was timed.
        least_search_s: as they take when nothing is in their way.
    """

    queue_s: float
    embed_s: float
    search_s: float | None
    least_search_s: float | None

    @property
    def expected_s(self) -> float:
        """All of it, as far as it is known."""
        return self.queue_s + self.embed_s + (self.search_s or 0.0)


class Retriever:
    """Searches collections for questions.

    Attributes:
        present: as ``Rechecks.present``.

    Args:
        readers: threads for index searches and reads of text.
        rechecks: hears of every search, and looks again at what is to be told.
    """

    def __init__(
        self,
        library: Library,
        embedders: Embedders,
        readers: Executor,
        settings: Settings,
        pace: Pace,
        rechecks: Rechecks,
    ) -> None:
        self._library = library
        self._embedders = embedders
        self._readers = readers
        self._settings = settings
        self._pace = pace
        self._rechecks = rechecks
        self.present = rechecks.present

    def expect(self, collection: Collection, question: Question) -> RetrievalTime:
        """By the fitted costs of forwards and the searches so far."""
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        queue_s, embed_s = embedder.expect_query(self._prepared(question.text).text, question.realm)
        search = self._pace.search(collection)
        return RetrievalTime(queue_s, embed_s, search.usual, search.least)

    async def retrieve(self, question: Question, text: str, plan: Plan) -> Retrieval:
        """Prepare the text, embed it, search the question's collection for it.

        Raises:
            CollectionNotFoundError, CollectionConflictError, OverloadedError, EmbedderUnavailableError,
            DeadlineExceededError: naming the stage.
        """
        query = self._prepared(text)
        while True:
            collection = self._library.get(question.collection)
            try:
                vector, read = await self._embedded(question, query, collection)
                searched = await self._searched(question, vector, collection)
            except StoreUnavailableError:
                if self._library.find(question.collection) is collection:
                    raise  # else the name moved, and what it led to is gone
            else:
                return Retrieval(plan, collection, searched, read, vector, self._fetched(question.params.top_k))

    async def embed_passages(self, question: Question, collection: Collection, texts: Sequence[str]) -> Vectors:
        """In the query lane: somebody waits for the answer."""
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        asker = Asker(question.caller, question.deadline)
        return (await embedder.embed(texts, TextKind.DOCUMENT, Lane.QUERY, asker)).vectors

    def _prepared(self, text: str) -> Prepared:
        return prepared(text, self._settings.retrieval.unicode_form)

    async def _embedded(self, question: Question, query: Prepared, collection: Collection) -> tuple[Vectors, ReadQuery]:
        """The ``(dimension,)`` vector of the query, and how much of it was read."""
        deadline = question.deadline.within(self._settings.budgets.embed_ms, "budgets.embed_ms")
        if not deadline.remaining():  # the queue, which else would refuse it, is not the cause
            raise deadline.exceeded("embed")
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        start = time.perf_counter()
        try:
            async with deadline.enforced("embed"):
                embedded = await embedder.embed_query(query.text, Asker(question.caller, deadline, question.realm))
                read = await self._read(query, embedded, embedder)
        except QuarryError:
            question.timings.add("embed", time.perf_counter() - start)
            raise
        question.timings.add("queue", embedded.queue_s)
        question.timings.add("embed", embedded.forward_s)
        return embedded.vectors[0], read

    async def _read(self, query: Prepared, embedded: Embedded, embedder: EmbeddingBatcher) -> ReadQuery:
        """Only a query that fills the model is counted: it may have been longer."""
        info, tokens = embedder.info, embedded.tokens
        if tokens >= info.max_tokens:
            loop = asyncio.get_running_loop()
            tokens = await loop.run_in_executor(self._readers, embedder.query_tokens, query.text)
        return ReadQuery(query, info.prompts[TextKind.QUERY], tokens, info.max_tokens)

    async def _searched(self, question: Question, vector: Vectors, collection: Collection) -> Searched:
        deadline = question.deadline.within(self._settings.budgets.search_ms, "budgets.search_ms")
        search = partial(self._search, collection, vector, question.params)
        with question.timings.stage("search"):
            async with deadline.enforced("search"):
                searched, seconds = await asyncio.get_running_loop().run_in_executor(self._readers, search)
        if question.params.boosts:
            question.timings.move(searched.boost_s, "search", "boost")
        self._pace.search(collection).observe(seconds - searched.boost_s)
        self._rechecks.searched(collection, searched)
        return searched

    def _search(self, collection: Collection, vector: Vectors, params: SearchParams) -> tuple[Searched, float]:
        """On a reader thread, with the seconds it took there."""
        start = time.perf_counter()
        wide = collection.searched(vector, replace(params, top_k=self._fetched(params.top_k)))
        hits = diversified(wide.hits, params.top_k, self._settings.retrieval.repeat_penalty)
        dropped = [*left_out(wide.hits, hits), *wide.dropped] if params.explain else ()
        return replace(wide, hits=hits, dropped=dropped), time.perf_counter() - start

    def _fetched(self, top_k: int) -> int:
        return OVERFETCH * top_k if self._settings.retrieval.repeat_penalty else top_k
