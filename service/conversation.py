"""Conversation: the text to search for, where a question leans on what was said before it."""

import logging

from service.errors import GenerationError, LlmBadResponseError, QuarryError
from service.generation.base import LlmCall, Priority
from service.generators import Generators
from service.plan import Plan
from service.preprocessing import prepared
from service.question import Question
from service.settings import Settings

_log = logging.getLogger("quarry.conversation")


class Conversation:
    """Makes questions stand alone."""

    def __init__(self, generators: Generators, settings: Settings) -> None:
        self._generators = generators
        self._budget_ms = settings.budgets.rewrite_ms
        self._longest = settings.limits.query_characters
        self._unicode_form = settings.retrieval.unicode_form

    async def search_text(self, question: Question, plan: Plan) -> tuple[str, Plan]:
        """The text to search for, and the plan as it is after that: a rewrite that fails or is late is a lost rung."""
        if plan.rewriter is None:
            return question.text, plan
        deadline = question.deadline.earlier(plan.kept_s).within(self._budget_ms, "budgets.rewrite_ms")
        try:
            with question.timings.stage("rewrite"), question.timings.budgeted("rewrite", deadline):
                async with deadline.enforced("rewrite"):
                    call = LlmCall(
                        deadline,
                        question.request_id,
                        plan.tenant,
                        Priority.REWRITE,
                        question.caller,
                        question.timings.trace,
                    )
                    return await self._rewritten(question, plan.rewriter, call), plan
        except QuarryError as error:
            said = error.outline if isinstance(error, GenerationError) else str(error)
            _log.warning("generator %s did not rewrite: %s: %s", plan.rewriter, type(error).__name__, said)
            return question.text, plan.without_rewrite()

    async def _rewritten(self, question: Question, rewriter: str, call: LlmCall) -> str:
        text = (await self._generators[rewriter].standalone(question.text, question.turns, call)).strip()
        if not 0 < len(text) <= self._longest:
            raise LlmBadResponseError(f"a rewritten question of {len(text)} characters; the limit is {self._longest}")
        if not prepared(text, self._unicode_form).text:
            raise LlmBadResponseError(f"a rewritten question of {len(text)} characters, none of which can be seen")
        return text
