"""Plans: as far down the ladder as the time makes them go, and no further."""

from dataclasses import replace
from typing import Any

import pytest

from service.generation.base import Expectation
from service.plan import Outlook, Plan, planned, rewrite_planned

WISH = Plan(rewriter="main", generator="main", passages=8, max_tokens=400)
# 0.2 s to the first token, 1 ms a token read, 10 ms a token written; a full prompt takes 1 s, a usual answer 1 s more.
LLM = Expectation(first_token_s=0.2, prompt_token_s=0.001, token_s=0.01)
OUTLOOK = Outlook(
    remaining_s=60,
    retrieval_s=0.1,
    rerank_s=None,
    extractive_s=0.1,
    extractive_most_s=0.1,
    llm=LLM,
    trouble=None,
    prompt_tokens=200,
    passage_tokens=100,
    answer_tokens=100,
)


def plan(wish: Plan = WISH, **known: Any) -> Plan:  # noqa: ANN401
    return planned(wish, replace(OUTLOOK, **known))


def test_with_enough_time_all_of_it_runs() -> None:
    assert plan() == replace(WISH, fallback_s=0.1, kept_s=pytest.approx(0.1 + 0.1 + 0.2 + 1.0 + 1.0))


def test_the_ladder_from_top_to_bottom() -> None:
    """Each step names what is lost; how much of chunks and tokens shrinks in between is the numbers' affair."""
    seen: list[tuple[Any, ...]] = []
    for hundredths in range(600, 0, -1):
        made = plan(remaining_s=hundredths / 100)
        state = (made.rewriter, made.passages < 8, made.max_tokens < 100, made.generator, made.lost)
        if not seen or seen[-1] != state:
            seen.append(state)
    assert seen == [
        ("main", False, False, "main", ()),
        (None, False, False, "main", ("rewrite",)),
        (None, True, False, "main", ("rewrite",)),
        (None, True, True, "main", ("rewrite",)),
        (None, False, False, "extractive", ("rewrite", "llm")),
        (None, False, False, None, ("rewrite", "llm", "extractive")),
    ]


def test_what_is_planned_fits() -> None:
    for hundredths in range(600, 0, -1):
        remaining_s = hundredths / 100
        made = plan(remaining_s=remaining_s)
        if made.has_llm:
            outlook = replace(OUTLOOK, remaining_s=remaining_s)
            rewrite_s = outlook.answer_s(0, 40) if made.rewriter else 0.0
            assert rewrite_s + outlook.answer_s(made.passages, made.max_tokens) <= outlook.left_s - 0.1 + 1e-9
            assert made.max_tokens >= 32


def test_a_server_that_writes_its_answers_in_one_piece_has_no_time_between_tokens() -> None:
    at_once = replace(LLM, token_s=0.0)
    assert plan(llm=at_once, remaining_s=60).max_tokens == 400
    assert plan(llm=at_once, remaining_s=0.5).lost == ("rewrite", "llm")


def test_what_was_never_timed_is_tried() -> None:
    made = plan(remaining_s=0.9, llm=None, extractive_s=None, extractive_most_s=None, retrieval_s=0.0)
    assert (made.rewriter, made.generator, made.passages, made.max_tokens, made.lost) == ("main", "main", 8, 400, ())
    assert made.fallback_s == 0.25
    quotes = replace(WISH, rewriter=None, generator="extractive")
    assert plan(quotes, remaining_s=0.001, extractive_s=None, retrieval_s=0.0).generator == "extractive"


def test_a_generator_in_trouble_is_passed_over() -> None:
    made = plan(trouble="the last 5 failed")
    assert (made.rewriter, made.generator, made.lost) == (None, "extractive", ("rewrite", "llm"))
    assert plan(replace(WISH, generator=None), trouble="the last 5 failed").lost == ("rewrite",)


def test_a_short_answer_that_was_asked_for_is_no_loss() -> None:
    asked = replace(WISH, rewriter=None, max_tokens=5)
    assert plan(asked, remaining_s=2.0).max_tokens == 5
    assert plan(asked, remaining_s=2.0).lost == ()


def test_where_nothing_may_be_left_out_only_the_rewrite_is() -> None:
    outlook = replace(OUTLOOK, remaining_s=0.3)
    assert rewrite_planned(WISH, outlook) == replace(WISH, rewriter=None, lost=("rewrite",))


def test_without_an_answer_the_rewrite_needs_only_its_own_time() -> None:
    search = replace(WISH, generator=None)
    assert plan(search, remaining_s=1.0).rewriter == "main"
    assert plan(search, remaining_s=0.5).lost == ("rewrite",)


RERANKING = replace(WISH, candidates=50)


def test_reranking_goes_first_and_comes_back_when_there_is_time() -> None:
    seen: list[Any] = []
    for hundredths in range(600, 0, -1):
        made = plan(RERANKING, remaining_s=hundredths / 100, rerank_s=0.05)
        if not seen or seen[-1] != made.lost:
            seen.append(made.lost)
    assert seen == [(), ("rerank",), *(("rerank", *lost) for lost in (
        ("rewrite",), ("rewrite", "llm"), ("rewrite", "llm", "extractive")))]  # fmt: skip


def test_reranking_takes_no_time_that_something_else_needs() -> None:
    usual_s = 0.2 + 1.0 + 1.0 + 0.1
    made = plan(RERANKING, rerank_s=0.05)
    assert (made.candidates, made.rerank_kept_s) == (50, pytest.approx(usual_s))
    needed_s = 0.1 + OUTLOOK.answer_s(0, 40) + usual_s
    for spare_s, candidates in ((0.06, 50), (0.04, 0)):
        assert plan(RERANKING, remaining_s=needed_s + spare_s, rerank_s=0.05).candidates == candidates
    quoting = replace(RERANKING, rewriter=None, generator="extractive")
    assert plan(quoting, rerank_s=0.05).rerank_kept_s == 0.1
    assert plan(RERANKING, rerank_s=0.05, trouble="gone").rerank_kept_s == 0.1
    assert plan(quoting, remaining_s=0.24, rerank_s=0.05).lost == ("rerank",)
    alone = replace(quoting, generator=None)
    assert plan(alone, rerank_s=0.05).rerank_kept_s == 0.05


def test_where_nothing_may_be_left_out_reranking_is_tried() -> None:
    outlook = replace(OUTLOOK, remaining_s=0.3, rerank_s=9.0)
    assert rewrite_planned(RERANKING, outlook).candidates == 50
    assert plan(RERANKING, rerank_s=None).candidates == 50
