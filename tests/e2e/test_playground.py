"""The playground in Chromium, before a real server and a language model that follows a script."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import httpx
import pytest

from browsing import DESKTOP, PATIENCE_MS, PHONE, Visit, visiting
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

Server = tuple[subprocess.Popen[bytes], httpx.Client]
QUESTION = "How often is the signing key rotated?"
VAULT = "When does the vault open?"
ATTACK = '<img src="https://evil.example/x.png" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
DOCUMENTS = {
    # Characters of two units before the span: an offset that counts units would mark other words.
    "guide/keys.md": (
        "Rotating keys",
        "# Rotating keys 🔑🗝️\n\nA 🗝 of 🎉 is none. The signing key is rotated every ninety days by the operator on "
        "duty. Old keys stay valid for one week after the rotation.\n\n"
        "## Emergency\n\nA leaked key is revoked at once with the revoke command.",
    ),
    f"hostile/{ATTACK}.md": (
        f"\u202e{ATTACK}",
        f"The vault {ATTACK} opens on Monday morning, says \u202ethe guard.\n\nThe vault is {'W' * 3000}.",
    ),
}


@pytest.fixture(scope="module")
def model() -> Iterator[FakeVllm]:
    with fake_vllm(Options(itl_ms=1)) as fake:
        yield fake


@pytest.fixture(scope="module")
def http(
    browser: "Browser",  # first, as without one no server is needed
    model: FakeVllm,
    serve_module: Callable[..., Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> httpx.Client:
    """A client of the server whose playground is opened."""
    data_dir = tmp_path_factory.mktemp("playground") / "data"
    _, http = serve_module(
        data_dir, QUARRY_LLM__MAIN__URL=model.url, QUARRY_LLM__MAIN__MODEL="fake", QUARRY_ANSWER__MIN_SCORE="-1"
    )
    for document_id, (title, text) in DOCUMENTS.items():
        put = http.put(
            f"/v1/collections/manual/documents/{quote(document_id, safe='')}", json={"title": title, "text": text}
        )
        assert put.status_code == 201, put.text
    return http


@pytest.fixture(params=[DESKTOP])
def visit(request: pytest.FixtureRequest, browser: "Browser", http: httpx.Client, model: FakeVllm) -> Iterator[Visit]:
    """The page, opened; the language model is as it started."""
    model.script()
    with visiting(browser, str(http.base_url).rstrip("/"), request.param) as visit:
        visit.open()
        visit("#collection").select_option("manual")
        yield visit


def answered_by(visit: Visit, generator: str) -> None:
    """Choose who answers."""
    if not visit("#options").evaluate("details => details.open"):
        visit("#options summary").click()
    visit("#llm").select_option(generator)


def focused(visit: Visit, wanted: str) -> bool:
    found: bool = visit.page.evaluate("wanted => document.activeElement.matches(wanted)", wanted)
    return found


def tab_to(visit: Visit, wanted: str, key: str = "Tab") -> None:
    """Press Tab until this has the focus; whatever has it on the way shows it."""
    for _ in range(60):
        visit.page.keyboard.press(key)
        outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", visit.page.evaluate("document.activeElement.outerHTML")
        if focused(visit, wanted):
            return
    pytest.fail(f"Tab does not lead to {wanted}")


def marked(visit: Visit) -> tuple[str, str]:
    """What is marked in the document, and what stands before it."""
    mark = visit("#document-text mark")
    mark.wait_for()
    before = mark.evaluate("""mark => {
        const range = document.createRange();
        range.setStartBefore(mark.parentElement.firstChild);
        range.setEndBefore(mark);
        return range.toString();
    }""")
    return mark.evaluate("mark => mark.textContent"), before


def test_a_citation_marks_exactly_its_quote(visit: Visit, http: httpx.Client) -> None:
    body = {"query": QUESTION, "collection": "manual", "llm": "extractive"}
    reply = http.post("/v1/query", json=body).json()
    first = reply["citations"][0]
    answered_by(visit, "extractive")
    visit.ask(QUESTION)
    answer = visit("#answer-text")
    assert answer.evaluate("answer => answer.textContent") == reply["answer"]
    assert visit("#answer-text .marker").all_text_contents() == [f"[{each['marker']}]" for each in reply["citations"]]
    answer.locator(".marker").first.click()
    text = DOCUMENTS[first["document_id"]][1]
    assert first["document_start"] != len(text[: first["document_start"]].encode("utf-16-le")) // 2
    assert marked(visit) == (first["quote"], text[: first["document_start"]])
    assert visit("#document-title").inner_text() == "Rotating keys"
    assert visit("#document-text mark").evaluate("mark => document.activeElement === mark")
    stages = visit("#waterfall tbody tr").evaluate_all("rows => rows.map(row => row.dataset.stage)")
    assert set(stages) == set(reply["timings_ms"]) - {"total"}


def test_a_language_model_cites_and_a_passage_leads_into_its_document(visit: Visit, model: FakeVllm) -> None:
    said = "Every 🎉 ninety days [1], and at once [1] when it leaks."
    model.script({"text": said})
    visit.ask(QUESTION)
    assert visit("#answer-text").evaluate("answer => answer.textContent") == said
    assert visit("#answer-text .marker").all_text_contents() == ["[1]", "[1]"]
    assert visit("#citations li").count() == 1, "both rest on the same"
    visit("#passages summary").click()
    visit("#passages .source").first.click()
    mark, before = marked(visit)
    text = DOCUMENTS["guide/keys.md"][1]
    assert text.startswith(before + mark)
    visit("#document-close").click()
    assert visit("#document").is_hidden()
    assert focused(visit, "#passages .source")


def test_text_is_there_before_the_answer_ends_and_stop_hangs_up(visit: Visit, model: FakeVllm) -> None:
    model.script({"text": "Every ninety days, and so on.", "fault": "stall", "after": 4})
    aborted = model.app.state()["aborted"]
    visit("#question").fill(QUESTION)
    visit("#send").click()
    answer = visit("#answer-text")
    visit("#answer-text:not(:empty)").wait_for()
    assert answer.get_attribute("aria-busy") == "true"
    assert visit("#passages").is_visible()
    visit("#stop").click()
    visit.ended()
    assert visit("#outcome").inner_text() == "Stopped"
    assert answer.inner_text().startswith("Every")
    assert focused(visit, "#question")
    give_up = time.monotonic() + PATIENCE_MS / 1000
    while model.app.state()["aborted"] == aborted:  # the server announces nothing
        assert time.monotonic() < give_up
        visit.page.wait_for_timeout(20)
    visit.check()


def test_by_the_keyboard_alone(visit: Visit, model: FakeVllm) -> None:
    model.script({"text": "Every ninety days [1]."})
    keyboard = visit.page.keyboard
    assert focused(visit, "#question")
    tab_to(visit, ".skip", "Shift+Tab")
    keyboard.press("Enter")
    assert focused(visit, "#question")
    keyboard.type(QUESTION)
    keyboard.press("Shift+Enter")
    assert visit("#question").input_value() == f"{QUESTION}\n"
    keyboard.press("Enter")
    visit.ended()
    tab_to(visit, ".marker")
    keyboard.press("Enter")
    assert marked(visit)[0]
    assert focused(visit, "mark")
    keyboard.press("Escape")
    assert visit("#document").is_hidden()
    assert focused(visit, ".marker")
    tab_to(visit, "#upload-files")


def test_files_are_stored_and_can_be_asked_about(visit: Visit, tmp_path: Path) -> None:
    files = {
        "wash 100% 🧺.md": b"# Laundry\n\nWool is washed at thirty degrees.",
        "lines.jsonl": b'{"id": "one", "text": "Silk is washed by hand."}\n{"id": "two", "text": " "}\n',
        "broken.pdf": b"%PDF-1.7 and nothing",
        "tool.exe": b"MZ",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    visit.page.evaluate("""() => {
        window.said = {};
        new MutationObserver(() => document.querySelectorAll("#uploads li").forEach((line) => {
            const steps = (window.said[line.querySelector("bdi").textContent] ??= []);
            const step = line.querySelector(".said").textContent;
            if (steps.at(-1) !== step) steps.push(step);
        })).observe(document.querySelector("#uploads"), { childList: true, subtree: true, characterData: true });
    }""")
    visit("#upload-collection").fill("laundry")
    visit("#upload-files").set_input_files([tmp_path / name for name in files])
    visit("#upload button").click()
    visit("#uploads-told:not(:empty)").wait_for(state="attached")
    assert visit("#uploads-told").inner_text() == "2 files of 4 stored in laundry"
    said: dict[str, list[str]] = visit.page.evaluate("window.said")
    assert {name: steps[-1] for name, steps in said.items()} == {
        "wash 100% 🧺.md": "added",
        "lines.jsonl": "1 added, 1 empty",
        "broken.pdf": "not stored",
        "tool.exe": "not stored",
    }
    assert {"Sending, 0 %", "Sent"} <= set(said["wash 100% 🧺.md"])
    told = dict(
        zip(visit("#uploads bdi").all_text_contents(), visit("#uploads .problem").all_inner_texts(), strict=True)
    )
    assert "line 2" in told["lines.jsonl"]
    assert "broken.pdf" in told["broken.pdf"]
    assert "'.exe' are not read" in told["tool.exe"]
    visit("#collection option[value='laundry']:checked").wait_for(state="attached")
    answered_by(visit, "extractive")
    visit.ask("At how many degrees is wool washed?")
    assert "thirty degrees" in visit("#answer-text").inner_text()


@pytest.mark.parametrize("visit", [PHONE], indirect=True)
def test_what_is_hostile_stays_text_and_within_the_window(visit: Visit, model: FakeVllm) -> None:
    model.script({"text": f"On Monday {ATTACK} [1]. {'W' * 2000}"})
    visit.page.evaluate("window.elements = document.querySelectorAll('img, script, iframe, object, b').length")
    visit.ask(VAULT)
    assert ATTACK in visit("#answer-text").inner_text()
    visit("#answer-text .marker").first.click()
    mark, before = marked(visit)
    assert ATTACK in before + mark
    assert ATTACK in visit("#document-title").inner_text()
    visit("#passages summary").click()
    visit("#options summary").click()
    visit("#key summary").click()
    assert (
        visit.page.evaluate("document.querySelectorAll('img, script, iframe, object, b').length - window.elements") == 0
    )
    assert visit.page.evaluate("window.hacked") is None
    assert visit.overflow() == 0
    confined = "nodes => nodes.every(node => getComputedStyle(node).unicodeBidi === 'isolate')"
    assert visit(".source > :first-child, #document-title, #document-text, #answer-text, blockquote").evaluate_all(
        confined
    )


def ratios(visit: Visit) -> dict[str, float]:
    """Contrast of every text with what it stands on, the lowest by selector."""
    found: dict[str, float] = visit.page.evaluate("""() => {
        const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
            .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
        const under = (node) => {
            for (let at = node; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if ((channels(colour)[3] ?? 1) === 1) return colour;
            }
            return getComputedStyle(document.documentElement).backgroundColor;
        };
        const lowest = {};
        for (const node of document.querySelectorAll("body *")) {
            const says = [...node.childNodes].some((child) => child instanceof Text && child.data.trim());
            if (!says || !node.checkVisibility() || node.matches(":disabled, noscript")) continue;
            const [one, other] = [light(getComputedStyle(node).color), light(under(node))];
            const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            const name = `${node.tagName.toLowerCase()}.${node.className}`;
            lowest[name] = Math.min(lowest[name] ?? Infinity, ratio);
        }
        return lowest;
    }""")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_in_both_schemes(
    browser: "Browser", http: httpx.Client, model: FakeVllm, scheme: Literal["light", "dark"]
) -> None:
    model.script({"text": "Every ninety days [1]."})
    with visiting(browser, str(http.base_url).rstrip("/"), PHONE, scheme) as visit:
        visit.open()
        visit("#collection").select_option("manual")
        visit.ask(QUESTION)
        visit("#answer-text .marker").click()
        marked(visit)
        visit("#key summary").click()
        visit("#passages summary").click()
        dark = visit.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (scheme, paper) in {("light", "rgb(251, 250, 247)"), ("dark", "rgb(22, 21, 19)")}
        assert dark is (scheme == "dark")
        found = ratios(visit)
        assert len(found) > 20
        assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
        assert visit.overflow() == 0
