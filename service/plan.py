"""Plan: what is run for a question, fixed when it comes, as far down the ladder as its deadline makes it go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.generation.base import Expectation
from service.settings import EXTRACTIVE

Rung = Literal["rerank", "rewrite", "lexical", "chunks", "max_tokens", "llm", "extractive"]

# An answer that is cut after fewer tokens says less than a quoted sentence.
_LEAST_TOKENS = 32
_REWRITE_TOKENS = 40
# Kept back for the extractive answer as long as none was timed, and of any deadline: the reply is still to be written.
_EXTRACTIVE_S = 0.25
_LEAST_RESERVE_S = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and which rungs are lost already.

    Attributes:
        rewriter: the generator that makes the question stand alone first; None searches for it as it is.
        generator: writes the answer; None answers with the chunks alone.
        passages: that the generator is given at most.
        max_tokens: longest answer.
        candidates: hits that a cross-encoder reorders at most; 0 leaves them as they are found.
        rerank_kept_s: of the deadline, not to be spent on that: for what comes after it.
        kept_s: of the deadline, not to be spent on the rewrite: for the search and what comes after it.
        fallback_s: of the deadline, not to be spent by a language model: for what takes its place when it is late.
        tenant: whose cached prefixes a model server may share for it.
        min_confidence: quotes of a lower one are no answer.
    """

    rewriter: str | None
    generator: str | None
    passages: int
    max_tokens: int
    lost: Sequence[Rung] = ()
    candidates: int = 0
    rerank_kept_s: float = 0.0
    kept_s: float = 0.0
    fallback_s: float = 0.0
    tenant: str = ""
    min_confidence: float = 0.0

    @property
    def has_llm(self) -> bool:
        """A language model is to answer."""
        return self.generator not in {None, EXTRACTIVE}

    @property
    def wants_llm(self) -> bool:
        """A language model is to answer, or would have been if it could."""
        return self.has_llm or "llm" in self.lost

    def without_rerank(self) -> "Plan":
        """The hits stay in the order of the search."""
        return replace(self, candidates=0, lost=(*self.lost, "rerank"))

    def without_rewrite(self) -> "Plan":
        """The question is searched for as it is."""
        return replace(self, rewriter=None, lost=(*self.lost, "rewrite"))

    def without_llm(self) -> "Plan":
        """Quotes take the place of the language model."""
        return replace(self, generator=EXTRACTIVE, lost=(*self.lost, "llm"))

    def without_answer(self) -> "Plan":
        """Nothing takes the place of quotes but the chunks."""
        return replace(self, generator=None, lost=(*self.lost, "extractive"))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known when a question comes; seconds, and None for what was never measured or too long ago.

    Attributes:
        remaining_s: to the deadline.
        retrieval_s: of embedding and search, the queue's wait included.
        rerank_s: of the scoring of a single hit, likewise; None where none is to be scored.
        extractive_s: of an extractive answer when nothing is in its way; one that is late costs no more than none.
        extractive_most_s: of one that takes long.
        llm: of the generator that the question asks for.
        trouble: why that one will give no answer now.
        prompt_tokens: of a prompt without passages, conversation included.
        passage_tokens: of a passage.
        answer_tokens: of an answer that is rather long.
    """

    remaining_s: float
    retrieval_s: float
    rerank_s: float | None
    extractive_s: float | None
    extractive_most_s: float | None
    llm: Expectation | None
    trouble: str | None
    prompt_tokens: int
    passage_tokens: int
    answer_tokens: int

    @property
    def left_s(self) -> float:
        """After the retrieval."""
        return self.remaining_s - self.retrieval_s

    @property
    def reserve_s(self) -> float:
        """For the extractive answer, should the language model be late."""
        most_s = _EXTRACTIVE_S if self.extractive_most_s is None else self.extractive_most_s
        return max(_LEAST_RESERVE_S, most_s)

    def answer_s(self, passages: int, tokens: float) -> float:
        """Of a language model's answer; 0 where none was timed, so that it is tried."""
        if self.llm is None:
            return 0.0
        read = self.prompt_tokens + passages * self.passage_tokens
        return self.llm.first_token_s + self.llm.prompt_token_s * read + self.llm.token_s * tokens

    def usual_answer_s(self, wish: Plan) -> float:
        """Of the answer of ``wish``, as long as one usually is, and what is kept back for what may take its place."""
        if not wish.generator:
            return 0.0
        if wish.generator == EXTRACTIVE or self.trouble is not None:
            return self.extractive_most_s or 0.0
        return self.answer_s(wish.passages, min(wish.max_tokens, self.answer_tokens)) + wish.fallback_s


def planned(wish: Plan, outlook: Outlook) -> Plan:
    """As much of ``wish`` as there is time for, one rung of the ladder after the other."""
    wish = replace(wish, fallback_s=outlook.reserve_s if wish.has_llm else 0.0)
    plan = rewrite_planned(rerank_planned(wish, outlook), outlook)
    if plan.has_llm:
        plan = _with_llm(plan, outlook)
    if plan.generator == EXTRACTIVE and outlook.left_s < (outlook.extractive_s or 0.0):
        plan = plan.without_answer()
    return plan


def rerank_planned(wish: Plan, outlook: Outlook) -> Plan:
    """The first rung: all of ``wish``, its hits reordered only in time that nothing else needs."""
    if outlook.rerank_s is None:
        return wish
    kept_s = max(outlook.usual_answer_s(wish), _LEAST_RESERVE_S)
    rewrite_s = outlook.answer_s(0, _REWRITE_TOKENS) if wish.rewriter else 0.0
    if outlook.left_s - rewrite_s - kept_s <= outlook.rerank_s:
        return wish.without_rerank()
    return replace(wish, rerank_kept_s=kept_s)


def rewrite_planned(wish: Plan, outlook: Outlook) -> Plan:
    """The second rung alone: all of ``wish``, but for a rewrite that there is no time for."""
    if wish.rewriter is None:
        return wish
    usual = min(wish.max_tokens, outlook.answer_tokens)
    answer_s = outlook.answer_s(wish.passages, usual) + wish.fallback_s if wish.generator else 0.0
    kept_s = outlook.retrieval_s + max(answer_s, _LEAST_RESERVE_S)
    if outlook.trouble is not None or outlook.remaining_s - kept_s <= outlook.answer_s(0, _REWRITE_TOKENS):
        return wish.without_rewrite()
    return replace(wish, kept_s=kept_s)


def _with_llm(plan: Plan, outlook: Outlook) -> Plan:
    """Fewer passages, then a shorter answer, then none of a language model."""
    left_s = outlook.left_s - plan.fallback_s - (outlook.answer_s(0, _REWRITE_TOKENS) if plan.rewriter else 0.0)
    if outlook.trouble is not None or left_s <= 0:
        return plan.without_llm()
    if outlook.llm is None:
        return plan
    usual = min(plan.max_tokens, outlook.answer_tokens)
    fitting = (count for count in range(plan.passages, 0, -1) if outlook.answer_s(count, usual) <= left_s)
    passages = next(fitting, 1)
    tokens = _tokens_within(left_s - outlook.answer_s(passages, 0), outlook.llm.token_s, plan.max_tokens)
    if tokens < min(_LEAST_TOKENS, plan.max_tokens):
        return plan.without_llm()
    return replace(plan, passages=passages, max_tokens=tokens)


def _tokens_within(seconds: float, token_s: float, most: int) -> int:
    if seconds < 0:
        return 0
    return most if most * token_s <= seconds else int(seconds / token_s)
