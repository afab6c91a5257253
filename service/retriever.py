"""Retriever: the embedding of a question, the search of its collection, the order of its hits, each in its budget."""

import asyncio
import time
from dataclasses import dataclass, replace

from indexes.base import Vectors
from indexes.collection import QueriedCollection
from indexes.errors import StoreUnavailableError
from models.base import TextKind
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.embedders import Embedders
from service.errors import QuarryError
from service.passage_sentences import PassageSentences
from service.passages import Chosen
from service.plan import Plan
from service.preprocessing import Prepared, prepared
from service.queried_library import QueriedLibrary
from service.question import Question, ReadQuery, Retrieval
from service.reordering import Reorderer
from service.results.asked import Asked
from service.results.remembered import Known, RememberedResults
from service.searcher import Found, Searcher
from service.settings import Settings
from service.telemetry.traces import embedding_span


@dataclass(frozen=True, slots=True)
class RetrievalTime:
    """What a retrieval would take that began now; seconds.

    Attributes:
        queue_s: before its forward is launched.
        embed_s: of the forward.
        search_s: as searches usually take; None where none was timed.
        least_search_s: as they take when nothing is in their way.
        rerank_s: that the scoring of a single hit would take, waiting included; None where none is to be scored.
    """

    queue_s: float
    embed_s: float
    search_s: float | None
    least_search_s: float | None
    rerank_s: float | None = None

    @property
    def expected_s(self) -> float:
        """All of it but the scoring, as far as it is known."""
        return self.queue_s + self.embed_s + (self.search_s or 0.0)


class Retriever:
    """Searches collections for questions.

    Attributes:
        present: as ``Rechecks.present``.

    Args:
        reorderer: None where no reranker is configured.
        results: of questions that were asked before.
    """

    def __init__(
        self,
        library: QueriedLibrary,
        embedders: Embedders,
        settings: Settings,
        searcher: Searcher,
        reorderer: Reorderer | None,
        results: RememberedResults,
    ) -> None:
        self._library = library
        self._embedders = embedders
        self._readers = searcher.readers
        self._results = results
        self._settings = settings
        self._searcher = searcher
        self._reorderer = reorderer
        self.present = searcher.present

    def expect(self, collection: QueriedCollection, question: Question) -> RetrievalTime:
        """By the fitted costs of forwards and the searches so far."""
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        queue_s, embed_s = embedder.expect_query(self._prepared(question.text).text, question.realm)
        search, rerank_s = self._searcher.pace(collection), None
        if self._reorderer and question.candidates:
            rerank_s = self._reorderer.least_s(collection.spec.chunk_size)
        return RetrievalTime(queue_s, embed_s, search.usual, search.least, rerank_s)

    async def retrieve(self, question: Question, text: str, plan: Plan) -> Retrieval:
        """Prepare the text, embed it, search the question's collection for it, bring what it has into order.

        Raises:
            CollectionNotFoundError, CollectionConflictError, OverloadedError, EmbedderUnavailableError,
            DeadlineExceededError: naming the stage.
            LexicalUnavailableError, RerankerUnavailableError: with ``on_failure="fail"``.
        """
        query = self._prepared(text)
        while True:
            collection = self._library.get(question.collection)
            try:
                return await self._retrieved(question, query, collection, plan)
            except StoreUnavailableError:
                if self._library.find(question.collection) is collection:
                    raise  # else the name moved, and what it led to is gone

    def sentences(self, question: Question, retrieval: Retrieval) -> PassageSentences:
        """What may be quoted of what was found."""
        embedder = self._embedders.that_made(retrieval.collection.spec.fingerprint)
        return PassageSentences(question, retrieval, embedder, self._readers)

    async def _retrieved(
        self, question: Question, query: Prepared, collection: QueriedCollection, plan: Plan
    ) -> Retrieval:
        asked = self._asked(question, query, collection)
        known = await self._results.found(asked)
        if known is not None:
            return await self._as_before(asked, query, known, plan)
        vector, read = await self._embedded(question, query, collection)
        found = await self._searcher.found(question, query.text, vector, collection, plan)
        retrieval = Retrieval(plan, collection, found.searched, read, vector, found.fetched, found.chosen)
        if self._reorderer is not None and question.candidates:
            retrieval = await self._reordered(self._reorderer, question, retrieval, found, plan)
        await self._results.remember(asked, retrieval, found.searched.hits)
        return retrieval

    def _asked(self, question: Question, query: Prepared, collection: QueriedCollection) -> Asked:
        info = self._embedders.that_made(collection.spec.fingerprint).info
        return Asked(
            question=question,
            text=query.text,
            collection=collection,
            version=collection.version,
            embedder=(info.fingerprint, info.dtype),
            reranker=self._reorderer.fingerprint if self._reorderer and question.candidates else None,
            repeat_penalty=self._settings.retrieval.repeat_penalty,
        )

    async def _as_before(self, asked: Asked, query: Prepared, known: Known, plan: Plan) -> Retrieval:
        """The retrieval that a search would have come to; what an answer may rest on is chosen anew."""
        result, searched = known
        question, collection = asked.question, asked.collection
        read = self._read_query(query, result.tokens, self._embedders.that_made(collection.spec.fingerprint))
        chosen = Chosen()
        if question.generate:
            among = result.among(searched.hits)
            chosen = await self._searcher.chosen(question, collection, searched.hits, among, plan)
        return Retrieval(plan, collection, searched, read, result.query_vector(), result.fetched, chosen)

    async def _reordered(
        self, reorderer: Reorderer, question: Question, retrieval: Retrieval, found: Found, plan: Plan
    ) -> Retrieval:
        reordered = await reorderer.reordered(question, retrieval.text, retrieval.hits, plan)
        retrieval = replace(retrieval, searched=reordered.kept(found.searched, question.params), reordered=reordered)
        if not plan.candidates or not question.generate:
            return retrieval
        choice = await self._searcher.chosen(question, retrieval.collection, retrieval.hits, found.searched.hits, plan)
        return replace(retrieval, chosen=choice)

    def _prepared(self, text: str) -> Prepared:
        return prepared(text, self._settings.retrieval.unicode_form)

    async def _embedded(
        self, question: Question, query: Prepared, collection: QueriedCollection
    ) -> tuple[Vectors, ReadQuery]:
        """The ``(dimension,)`` vector of the query, and how much of it was read."""
        deadline = question.deadline.within(self._settings.budgets.embed_ms, "budgets.embed_ms")
        if not deadline.remaining():  # the queue, which else would refuse it, is not the cause
            raise deadline.exceeded("embed")
        embedder = self._embedders.that_made(collection.spec.fingerprint)
        start = time.perf_counter()
        try:
            with question.timings.budgeted("embed", deadline):
                async with deadline.enforced("embed"):
                    embedded = await embedder.embed_query(query.text, Asker(question.caller, deadline, question.realm))
                    read = await self._read(query, embedded, embedder)
        except QuarryError:
            question.timings.add("embed", time.perf_counter() - start)
            raise
        # Of the forward, and until its vector is here: the event loop may have others to answer first.
        embed_s = max(0.0, time.perf_counter() - start - embedded.queue_s)
        waited_s = embedded.queue_s - embedded.tokenize_s
        question.timings.add("tokenize", embedded.tokenize_s, ago_s=embed_s + waited_s)
        question.timings.add("queue", waited_s, ago_s=embed_s)
        is_computed = embedded.forward_s > 0  # else its vector was cached, and no model was asked
        spent = embedding_span(embedder.info.name, embedded.tokens) if question.timings.trace and is_computed else {}
        question.timings.add("embed", embed_s, spent)
        return embedded.vectors[0], read

    async def _read(self, query: Prepared, embedded: Embedded, embedder: EmbeddingBatcher) -> ReadQuery:
        """Only a query that fills the model is counted: it may have been longer."""
        tokens = embedded.tokens
        if tokens >= embedder.info.max_tokens:
            loop = asyncio.get_running_loop()
            tokens = await loop.run_in_executor(self._readers, embedder.query_tokens, query.text)
        return self._read_query(query, tokens, embedder)

    @staticmethod
    def _read_query(query: Prepared, tokens: int, embedder: EmbeddingBatcher) -> ReadQuery:
        info = embedder.info
        return ReadQuery(query, info.prompts[TextKind.QUERY], tokens, info.max_tokens)
