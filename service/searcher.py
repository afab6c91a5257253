"""Searcher: searches of collections on reader threads, and the choice of passages there."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

from indexes.base import Hit, Hybrid, SearchParams, Vectors
from indexes.collection import QueriedCollection
from indexes.searched import Searched
from service.diversity import OVERFETCH, diversified, left_out
from service.errors import LexicalUnavailableError
from service.neighbours import widened
from service.pace import Estimate, Pace
from service.passages import Chosen, chosen
from service.plan import Plan
from service.question import Question
from service.rechecks import Rechecks
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader thread made of a question, and the seconds that it took there.

    Attributes:
        searched: its hits are as many as are wanted, or where more are to be reordered as many as that.
        fetched: hits that were asked of the index, to choose from.
        chosen: of the hits, for an answer; nothing where none is wanted, or the hits are to be reordered first.
    """

    searched: Searched
    fetched: int
    search_s: float
    chosen: Chosen = field(default_factory=Chosen)
    choice_s: float = 0.0


class Searcher:
    """Searches collections for questions.

    Attributes:
        present: as ``Rechecks.present``.
        readers: threads for index searches and reads of text.

    Args:
        rechecks: hears of every search, and looks again at what is to be told.
    """

    def __init__(self, readers: Executor, settings: Settings, pace: Pace, rechecks: Rechecks) -> None:
        self.readers = readers
        self._settings = settings
        self._pace = pace
        self._rechecks = rechecks
        self.present = rechecks.present

    def pace(self, collection: QueriedCollection) -> Estimate:
        """Seconds of a search."""
        return self._pace.search(collection)

    async def found(
        self, question: Question, text: str, vector: Vectors, collection: QueriedCollection, plan: Plan
    ) -> Found:
        """The hits, and what an answer may rest on.

        Args:
            text: whose words are looked for, where they are.
            vector: ``(dimension,)``, of it.

        Raises:
            DeadlineExceededError: in stage ``search``.
            LexicalUnavailableError: words cannot be looked for, with ``on_failure="fail"``.
            StoreUnavailableError: the collection cannot be read.
        """
        deadline = question.deadline.within(self._settings.budgets.search_ms, "budgets.search_ms")
        params = replace(question.params, hybrid=_hybrid(question, text, collection))
        search = partial(self._search, collection, vector, params, plan, answers=question.generate)
        with question.timings.stage("search"), question.timings.budgeted("search", deadline):
            async with deadline.enforced("search"):
                found = await asyncio.get_running_loop().run_in_executor(self.readers, search)
        searched = found.searched
        for stage, seconds in _stages_of(found, question).items():
            question.timings.move(seconds, "search", stage)
            question.timings.trace_stage(stage, seconds)
        self._pace.search(collection).observe(found.search_s - searched.boost_s)
        self._rechecks.searched(collection, searched)
        if searched.without_lexical is not None and question.on_failure == "fail":
            raise LexicalUnavailableError(question.collection, searched.without_lexical)
        return found

    async def chosen(
        self, question: Question, collection: QueriedCollection, hits: Sequence[Hit], found: Sequence[Hit], plan: Plan
    ) -> Chosen:
        """What an answer may rest on of ``hits``, which were reordered after all of them were ``found``.

        Raises:
            DeadlineExceededError: in stage ``search``, which this is the end of.
            StoreUnavailableError: the collection cannot be read.
        """
        choose = partial(self._chosen, collection, hits, plan, found)
        with question.timings.stage("prompt"):
            async with question.deadline.enforced("search"):
                return await asyncio.get_running_loop().run_in_executor(self.readers, choose)

    def _search(
        self, collection: QueriedCollection, vector: Vectors, params: SearchParams, plan: Plan, *, answers: bool
    ) -> Found:
        """On a reader thread."""
        start = time.perf_counter()
        wanted = max(params.top_k, plan.candidates)
        fetched = max(self._fetched(params.top_k), wanted)
        wide = collection.searched(vector, replace(params, top_k=fetched))
        hits = diversified(wide.hits, wanted, self._settings.retrieval.repeat_penalty)
        dropped = [*left_out(wide.hits, hits), *wide.dropped] if params.explain else ()
        found = Found(replace(wide, hits=hits, dropped=dropped), fetched, time.perf_counter() - start)
        if plan.candidates or not answers:
            return found
        start = time.perf_counter()
        choice = self._chosen(collection, hits, plan, hits)
        return replace(found, chosen=choice, choice_s=time.perf_counter() - start)

    def _chosen(self, collection: QueriedCollection, hits: Sequence[Hit], plan: Plan, found: Sequence[Hit]) -> Chosen:
        """On a reader thread too: what an answer may rest on, with the text around it."""
        policy = self._settings.answer
        choice = chosen(hits, policy, wants_llm=plan.wants_llm, found=found)
        if not policy.neighbours:
            return choice
        around = collection.surroundings([passage.hit.row for passage in choice.passages], policy.neighbours)
        return replace(choice, passages=widened(choice.passages, around))

    def _fetched(self, top_k: int) -> int:
        return OVERFETCH * top_k if self._settings.retrieval.repeat_penalty else top_k


def _hybrid(question: Question, text: str, collection: QueriedCollection) -> Hybrid | None:
    if question.dense_weight is None or not (collection.has_words or question.insists_on_words):
        return None
    return Hybrid(text, question.dense_weight)


def _stages_of(found: Found, question: Question) -> dict[str, float]:
    """Seconds of what the thread did beside the plain search, by stage; none of what it was not asked to do.

    Words are part of the search where a filter is required: how long they take tells how many rows have them.
    """
    stages: dict[str, float] = {}
    if question.params.boosts:
        stages["boost"] = found.searched.boost_s
    if question.dense_weight is not None and question.params.required is None:
        stages |= {"lexical": found.searched.lexical_s, "fusion": found.searched.fusion_s}
    return stages | ({"prompt": found.choice_s} if question.generate else {})
