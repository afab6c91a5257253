"""The playground in Chromium, before servers that refuse, fail, or have a GPU."""

import json
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from browsing import PHONE, Visit, event, visiting
from service.telemetry.gpu import GpuMemory, GpuReading, GpuState, RecordedGpus

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

Opened = Callable[..., Visit]
PATH = "/v1/collections/docs/documents/sky"
QUESTION = "Which colour is the sky?"
SAID = "The sky is blue."
GIB = 2**30
CHUNK = {
    "id": "sky#0", "document_id": "sky", "title": "Sky", "url": None, "text": SAID, "start": 0, "end": len(SAID),
    "page": None, "heading_path": [], "score": 0.7, "scores": {},
}  # fmt: skip
RETRIEVAL = {"chunks": [CHUNK], "searched": QUESTION, "warnings": [], "timings_ms": {"total": 1.0}}


REFUSALS: list[tuple[int, dict[str, str], list[str]]] = [
    (403, {}, ["This is not allowed."]),
    (429, {"Retry-After": "7"}, ["limit is used up", "Try again in 7 s."]),
    (503, {"Retry-After": "1", "retry-after-ms": "1500"}, ["cannot do this at the moment", "Try again in 2 s."]),
    (504, {}, ["not enough time"]),
]


def test_a_refusal_is_told_in_words(opened: Opened) -> None:
    visit = opened(may_refuse={status for status, _, _ in REFUSALS})
    for status, headers, said in REFUSALS:  # on one page, as the next question follows whatever became of the last
        problem = {"detail": f"as it is: {status}", "request_id": "0123abcd", "status": status}
        visit.replies(json.dumps(problem), status, **{"Content-Type": "application/problem+json"}, **headers)
        visit.ask(QUESTION)
        told = visit("#problem").inner_text()
        assert all(words in told for words in [*said, f"as it is: {status}", "0123abcd"]), told
        assert ("Try again" in told) is bool(headers)
        assert visit("#outcome").inner_text() == "No answer"
        visit.page.unroute_all()
    visit.ask(QUESTION)
    assert visit("#problem").is_hidden()
    assert SAID in visit("#answer-text").inner_text()


def test_a_page_of_a_proxy_is_not_taken_for_words(opened: Opened) -> None:
    visit = opened(may_refuse={502, 413})
    told = {502: "Something before the server replied with 502.\nDoes the server run?", 413: "This is too large."}
    for status, said in told.items():
        visit.replies("<html><body><h1>A page</h1><img src=x></body></html>", status)
        visit.ask(QUESTION)
        assert visit("#problem").inner_text() == said
        visit.page.unroute_all()


def test_a_server_that_is_gone(opened: Opened) -> None:
    visit = opened()
    visit.page.route("**/v1/query", lambda route: route.abort())
    visit.ask(QUESTION)
    assert "cannot be reached" in visit("#problem").inner_text()


def test_a_stream_without_an_end_is_no_answer(opened: Opened) -> None:
    visit = opened()
    for end in ("", event("token", {"text": " and"})[:-9], ": still here\n\n"):
        visit.replies(event("retrieval", RETRIEVAL) + event("token", {"text": "The sky"}) + end)
        visit.ask(QUESTION)
        assert visit("#outcome").inner_text() == "No answer"
        assert "broke off" in visit("#problem").inner_text()
        assert visit("#answer-text").inner_text() == "The sky"
        assert visit("#answer-text").get_attribute("aria-busy") == "false"
        visit.page.unroute_all()


def test_an_error_in_a_stream(opened: Opened, language_model: Callable[..., str]) -> None:
    said = b'data: {"choices":[{"delta":{"content":"The sky is"}}]}\n\n'
    llm = {"main": {"url": language_model([said], end="cut"), "model": "m"}}
    visit = opened(llm=llm, answer={"min_score": -1})
    visit.ask(QUESTION)
    assert visit("#answer-text").inner_text() == "The sky is"
    assert visit("#outcome").get_attribute("data-state") == "failed"
    assert visit("#problem").is_visible()


def test_what_an_answer_had_to_do_without_is_said(opened: Opened, language_model: Callable[..., str]) -> None:
    llm = {"main": {"url": language_model([b"{}"], status=500), "model": "m"}}
    visit = opened(
        llm=llm, answer={"min_score": -1, "min_confidence": 0}, budgets={"embed_ms": 60_000, "rerank_ms": 500}
    )
    visit.ask(QUESTION)
    assert visit("#outcome").inner_text().startswith("Answered in part")
    assert "quotes from the documents" in visit("#notes [data-rung='llm']").inner_text()
    assert SAID in visit("#answer-text").inner_text()
    assert visit("tr[data-stage='embed'] small").inner_text() == "of 60 s"
    assert visit("tfoot small").inner_text() == "of 60 s"


def test_a_question_without_an_answer(opened: Opened) -> None:
    visit = opened()
    visit.ask("Who won the league in 1987?")
    assert re.fullmatch(r"Not answered · [\d.]+ m?s", visit("#outcome").inner_text())
    assert visit("#answer-text").inner_text() == "The documents do not answer this question."
    assert visit("#problem").is_hidden()


def test_who_answers_can_be_read_on_a_phone(opened: Opened) -> None:
    visit = opened(text="", viewport=PHONE)
    visit("#options summary").click()
    room = """llm => {
        const width = llm.offsetWidth;
        Object.assign(llm.style, { width: "max-content", maxWidth: "none" });
        return width - llm.offsetWidth;
    }"""
    assert visit("#llm").evaluate(room) >= 0


def test_the_memory_of_a_gpu(opened: Opened) -> None:
    memory = GpuMemory(total=80 * GIB, used=60 * GIB, free=20 * GIB)
    gpu = GpuReading("cuda:0", "GPU-1", "A card", memory)
    visit = opened(gpus=RecordedGpus([GpuState([gpu])]))
    device = visit(".device[data-device='cuda:0']")
    assert device.locator("p").inner_text() == "A card 60 GiB of 80 GiB"
    assert device.get_by_role("img").get_attribute("aria-label") == "A card: 60 GiB of 80 GiB taken"
    bar, taken = device.locator(".memory-bar").bounding_box(), device.locator(".memory-bar span").bounding_box()
    assert bar is not None
    assert taken is not None
    assert taken["width"] / bar["width"] == pytest.approx(60 / 80, abs=0.01)
    assert visit(".device").count() == 2, "the host's too"
    assert visit("#memory-note").inner_text() == ""


def test_each_part_of_the_memory_has_a_colour_of_its_own(opened: Opened) -> None:
    visit = opened(text="")
    drawn: dict[str, list[str]] = visit.page.evaluate("""async () => {
        const { MemoryBars } = await import("/playground/memory.js");
        const components = ["embedder_weights", "reranker_weights", "embedder_peak", "index_vectors", "index_codes",
            "index_scratch", "index_words", "query_cache", "llm_kv_cache", "unattributed", "other_processes"];
        const [device, total] = ["cuda:0", { device: "cuda:0", card: { total: 100, free: 0 } }];
        const entries = components.map((component) => ({ device, component, bytes: 9 }));
        const [devices, note] = [document.querySelector("#memory-devices"), document.querySelector("#memory-note")];
        const gpus = [{ device, name: "A card" }];
        const status = { ledger: { totals: [total], entries }, gpus: { gpus }, memory: { devices: {} } };
        new MemoryBars(devices, note).show(status);
        const colours = (selector, pseudo) => [...devices.querySelectorAll(selector)].map(
            (part) => getComputedStyle(part, pseudo).backgroundColor);
        return { legend: colours(".legend li", "::before"), bar: colours(".memory-bar span") };
    }""")
    assert len(drawn["legend"]) == len(set(drawn["legend"])) == 11
    assert drawn["bar"] == drawn["legend"]


def test_without_a_gpu_the_host_is_shown_and_why(opened: Opened) -> None:
    visit = opened()
    assert visit(".device").evaluate_all("all => all.map(one => one.dataset.device)") == ["cpu"]
    assert visit("#memory-note").inner_text() == "No GPU is used: a test."
    assert "Vectors" in visit(".legend").inner_text()


def test_a_proxy_may_put_any_path_before_it(browser: "Browser", listening: Callable[..., str]) -> None:
    address = listening()
    httpx.put(address + PATH, json={"title": "Sky", "text": SAID}).raise_for_status()
    with visiting(browser, address) as visit:
        visit.page.route("**/*", lambda route: route.continue_(url=route.request.url.replace("/behind/it/", "/")))
        visit.open("/behind/it/")
        visit.ask(QUESTION)
        assert SAID in visit("#answer-text").inner_text()
        visit("#answer-text .marker").first.click()
        visit("#document-text mark").wait_for()
        assert [url for url in visit.asked if not url.startswith(f"{address}/behind/it/")] == []


def test_offsets_in_code_points_are_found_in_text_of_two_unit_characters(opened: Opened) -> None:
    visit = opened(text="")
    seed = 7
    print(f"seed {seed}")  # noqa: T201
    chosen = random.Random(seed)  # noqa: S311  no secret
    texts = ["".join(chosen.choices("aß日🎉🗝\u200d\u0301", k=chosen.randrange(1, 40))) for _ in range(50)]
    places = [(text, point) for text in texts for point in (0, 1, len(text) // 2, len(text))]
    found = visit.page.evaluate(
        """async (places) => {
            const { unitsAt } = await import("/playground/code_points.js");
            return places.map(([text, point]) => unitsAt(text, point));
        }""",
        places,
    )
    assert found == [len(text[:point].encode("utf-16-le")) // 2 for text, point in places]


def test_the_stages_of_a_waterfall_follow_each_other(opened: Opened) -> None:
    visit = opened(text="")
    timings = {"other": 1, "llm_total": 8, "embed": 3, "llm_ttft": 2, "later": 4, "tokenize": 0.5, "total": 16.5}
    bars = visit.page.evaluate(
        """async (timings) => (await import("/playground/waterfall.js")).barsOf(timings)
            .map(({ name, from, took }) => [name, from, took])""",
        timings,
    )
    assert bars == [
        ["tokenize", 0, 0.5], ["embed", 0.5, 3], ["llm_total", 3.5, 8], ["llm_ttft", 3.5, 2], ["later", 11.5, 4],
        ["other", 15.5, 1],
    ]  # fmt: skip
