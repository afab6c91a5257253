"""Planner: looks at a question when it comes, and fixes what is run for it."""

from indexes.collection import QueriedCollection
from service.errors import DeadlineTooShortError, LlmUnavailableError
from service.generators import Generators
from service.pace import Pace
from service.plan import Outlook, Plan, planned, rewrite_planned
from service.queried_library import QueriedLibrary
from service.question import Question
from service.retriever import Retriever
from service.settings import EXTRACTIVE, AnswerSettings
from service.tenancy import tenant_of

# An answer's length before there were some, and of a prompt what is no passage and no conversation.
_USUAL_TOKENS = 128
_INSTRUCTION_TOKENS = 160
# On the high side of what the vocabularies of language models make of prose, and of the embedder's tokens.
_TOKENS_PER_CHARACTER = 1 / 3
_TOKENS_PER_CHUNK_TOKEN = 4 / 3
_HEADING_TOKENS = 24


class Planner:
    """Plans by what is known of the embedder, the index and the language models; it waits for none of them."""

    def __init__(
        self, library: QueriedLibrary, generators: Generators, retriever: Retriever, pace: Pace, answer: AnswerSettings
    ) -> None:
        self._library = library
        self._generators = generators
        self._retriever = retriever
        self._pace = pace
        self._answer = answer

    def plan(self, question: Question) -> Plan:
        """What is run.

        Raises:
            CollectionNotFoundError, CollectionConflictError: see ``QueriedLibrary.get``.
            InvalidRequestError: the question names a generator that is not configured.
            DeadlineTooShortError: less is left than a retrieval takes on an idle server.
            LlmUnavailableError: the generator is in trouble, and nothing may take its place.
        """
        collection = self._library.get(question.collection)
        preferred = self._library.preferred(question.collection)
        name = self._generators.chosen(question.llm, question.collection, preferred.llm)
        self._refuse_hopeless(question, collection)
        wish = self._wish(question, name, preferred.min_confidence)
        trouble = self._generators[name].trouble
        if question.on_failure == "degrade":
            return planned(wish, self._outlook(question, collection, name))
        if wish.generator and trouble is not None:
            raise LlmUnavailableError(f"llm {name!r} would not answer: {trouble}")
        return rewrite_planned(wish, self._outlook(question, collection, name))

    def _refuse_hopeless(self, question: Question, collection: QueriedCollection) -> None:
        remaining_s = question.deadline.remaining()
        if not remaining_s:
            raise question.deadline.exceeded("embed")
        took = self._retriever.expect(collection, question)
        if took.least_search_s is None:
            return  # nothing is known: the stages will show
        idle_s = took.embed_s + took.least_search_s
        if remaining_s < took.embed_s:
            raise DeadlineTooShortError("embed", remaining_s, took.embed_s)
        if remaining_s < idle_s:
            raise DeadlineTooShortError("search", remaining_s, idle_s)

    def _wish(self, question: Question, name: str, min_confidence: float | None) -> Plan:
        """What is run where time does not matter."""
        wants_rewrite = self._answer.rewrite if question.rewrite is None else question.rewrite
        return Plan(
            rewriter=name if wants_rewrite and question.turns and name != EXTRACTIVE else None,
            generator=name if question.generate else None,
            passages=min(self._answer.passages, question.params.top_k),
            max_tokens=question.max_tokens or self._answer.max_tokens,
            candidates=question.candidates,
            tenant=tenant_of(self._library.route(question.collection).name, question.realm),
            min_confidence=self._answer.min_confidence if min_confidence is None else min_confidence,
        )

    def _outlook(self, question: Question, collection: QueriedCollection, name: str) -> Outlook:
        generator = self._generators[name]
        took = self._retriever.expect(collection, question)
        characters = len(question.text) + sum(len(turn.text) for turn in question.turns)
        return Outlook(
            remaining_s=question.deadline.remaining(),
            retrieval_s=took.expected_s,
            rerank_s=took.rerank_s,
            extractive_s=self._pace.extractive.least,
            extractive_most_s=self._pace.extractive.most,
            llm=generator.expect(),
            trouble=generator.trouble,
            prompt_tokens=_INSTRUCTION_TOKENS + int(characters * _TOKENS_PER_CHARACTER),
            passage_tokens=_HEADING_TOKENS + int(self._passage_tokens(collection) * _TOKENS_PER_CHUNK_TOKEN),
            answer_tokens=int(self._pace.answer_tokens.most or _USUAL_TOKENS),
        )

    def _passage_tokens(self, collection: QueriedCollection) -> int:
        """Of the embedder's, in a chunk and its neighbours."""
        return (1 + 2 * self._answer.neighbours) * collection.spec.chunk_size
