"""What an answer rests on, as the playground lists and shows it."""

import json
from collections.abc import Callable

import pytest

from browsing import Visit, event

pytestmark = pytest.mark.browser

Opened = Callable[..., Visit]
QUESTION = "What is it like out there?"
TEXT = "The sky is blue. The sea is green. The sand is white."
QUOTES = {"The sky is blue.": 3, "The sea is green.": 1, "The sand is white.": 3}


def answered(visit: Visit, quotes: list[str]) -> None:
    """Ask, and have these quoted by the numbers of their passages."""
    answer, events = "", []
    for quote in quotes:
        marker, start, begins = QUOTES[quote], TEXT.index(quote), len(answer)
        answer += f"[{marker}]"
        citation = {
            "marker": marker, "chunk_id": f"sky#{marker}", "document_id": "sky", "document_start": start,
            "document_end": start + len(quote), "answer_start": begins, "answer_end": len(answer), "quote": quote,
            "page": marker, "heading_path": ["Out there"], "score": None,
        }  # fmt: skip
        events += [event("token", {"text": f"[{marker}]"}), event("citation", citation)]
    chunk = {"document_id": "sky", "title": "Sky", "text": TEXT, "start": 0, "end": len(TEXT), "score": 0.7}
    retrieval = {"chunks": [chunk | {"page": 2, "heading_path": []}], "warnings": []}
    done: dict[str, object] = {
        "status": "ok",
        "answer": answer,
        "finish_reason": "stop",
        "confidence": None,
        "degraded": [],
    }
    told = [event("retrieval", retrieval), *events, event("done", done | {"timings_ms": {"total": 49.0}})]
    visit.replies("".join(told), **{"Content-Type": "text/event-stream"})
    visit.ask(QUESTION)


def test_a_passage_is_listed_once_by_its_number_with_all_its_quotes(opened: Opened) -> None:
    visit = opened(text=TEXT)
    answered(visit, [*QUOTES, "The sky is blue."])
    assert visit("#answer-text .marker").all_text_contents() == ["[3]", "[1]", "[3]", "[3]"]
    assert visit("#citations .number").all_text_contents() == ["[1]", "[3]"]
    listed = visit("#citations li").evaluate_all(
        "items => items.map((item) => [...item.querySelectorAll('blockquote')].map((quote) => quote.textContent))"
    )
    assert listed == [["The sea is green."], ["The sky is blue.", "The sand is white."]]
    for opener, quote in zip(range(3), [quote for quotes in listed for quote in quotes], strict=True):
        visit("#citations .source").nth(opener).click()
        visit("#document-text mark").get_by_text(quote, exact=True).wait_for()
    assert "not quoted are left out" in visit("#citations > .hint").inner_text()


def test_a_document_is_shown_as_it_is_stored_at_its_page(opened: Opened) -> None:
    markdown = f"# Out there\n\n{TEXT}\n\n`<b>bold</b>`"
    visit = opened(text=TEXT)
    answered(visit, ["The sea is green."])
    body = json.dumps({"id": "sky", "title": "Sky", "text": TEXT + markdown, "metadata": {}, "url": None})
    visit.page.route("**/documents/sky", lambda route: route.fulfill(body=body))
    visit("#answer-text .marker").click()
    visit("#document-text mark").wait_for()
    assert visit("#document-text").evaluate("text => text.textContent") == TEXT + markdown
    assert visit("#document-text b").count() == 0
    assert visit("#document-place").inner_text() == "docs · sky · page 1 · Out there"
    assert "Markdown shows its signs" in visit("#document").inner_text()
    visit("#passages summary").click()
    visit("#passages .source").click()
    visit("#document-place").get_by_text("docs · sky · page 2", exact=True).wait_for()
