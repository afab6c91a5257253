"""The playground's key: asked for, refused, used, changed, kept nowhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from browsing import Visit
from tenants.asking import ADMIN

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser

Opened = Callable[..., Visit]
QUESTION = "Which colour is the sky?"
SAID = "The sky is blue."


def made(visit: Visit, scope: str, **more: Any) -> str:  # noqa: ANN401
    """A key of this scope."""
    body = {"name": scope, "scopes": [scope], **more}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    key: str = httpx.post(f"{visit.address}/v1/admin/keys", json=body, headers=headers).raise_for_status().json()["key"]
    return key


def show(visit: Visit, key: str) -> None:
    """Type a key into its field."""
    if not visit("#key").evaluate("details => details.open"):
        visit("#key summary").click()
    visit("#key-input").fill(key)
    visit("#key-input").press("Enter")


def test_a_key_is_asked_for_used_and_kept_nowhere(opened: Opened) -> None:
    visit = opened(key=ADMIN, access={"admin_key": ADMIN}, may_refuse={401, 403})
    visit("#key-problem").get_by_text("This server asks for a key.").wait_for()
    assert visit("#key-input").evaluate("input => document.activeElement === input")
    assert visit("#send").is_disabled()
    assert visit("#key-problem span").count() == 0, "the server's words on it are for programs"
    show(visit, "quarry.wrong")
    visit("#key-problem").get_by_text("The server does not take this key.").wait_for()
    assert "not one of this server's" in visit("#key-problem").inner_text()
    assert visit("#key-state").inner_text() == "Key not taken"
    show(visit, ADMIN)
    visit("#send:enabled").wait_for()
    visit("#memory-devices .device").first.wait_for()
    assert visit("#key-state").inner_text() == "Key in use"
    visit.ask(QUESTION)
    assert SAID in visit("#answer-text").inner_text()
    stored = "[...Object.values(sessionStorage), ...Object.values(localStorage), document.cookie].join('')"
    assert visit.page.evaluate(stored) == ""
    assert not [url for url in visit.asked if ADMIN in url]
    show(visit, made(visit, "query"))
    visit("#memory-note").get_by_text("A key of scope admin").wait_for()
    assert visit("#answer").is_hidden(), "it was for another key"
    visit.ask(QUESTION)
    assert SAID in visit("#answer-text").inner_text()
    visit("#key summary").click()
    visit("#key-forget").click()
    visit("#key-problem").get_by_text("This server asks for a key.").wait_for()
    assert visit("#key-state").inner_text() == "No key"
    assert visit("#answer").is_hidden()
    assert visit("#collection").inner_text() == "—", "names that another key saw"
    assert visit("#upload-collections option").count() == 0


def test_what_a_key_does_not_grant(opened: Opened) -> None:
    visit = opened(key=ADMIN, access={"admin_key": ADMIN}, may_refuse={401, 403})
    show(visit, made(visit, "ingest"))
    visit("#send:enabled").wait_for()
    visit.ask(QUESTION)
    said = visit("#problem").inner_text()
    assert "This is not allowed." in said
    assert "query" in said, "the server's words name the scope that is missing"
    visit("#key summary").click()
    visit("#key-input").fill("“typographic”")
    visit("#key-input").press("Enter")
    assert visit("#key-input").evaluate("input => !input.checkValidity()")


def test_with_a_key_one_goes_on_at_the_question(opened: Opened) -> None:
    visit = opened(text="", access={"admin_key": ADMIN}, may_refuse={401})
    visit("#key-problem").get_by_text("This server asks for a key.").wait_for()
    show(visit, "quarry.wrong")
    visit("#key-problem").get_by_text("does not take").wait_for()
    assert visit("#key-input").evaluate("input => document.activeElement === input")
    show(visit, ADMIN)
    assert visit("#question").evaluate("question => document.activeElement === question"), "before anything is known"
    visit("#empty").wait_for()
    assert visit("#question").evaluate("question => document.activeElement === question")
    assert visit("#key-state").inner_text() == "Key in use"


@pytest.mark.parametrize("path", ["status", "collections"])
def test_what_another_key_saw_is_not_shown_when_it_arrives_late(opened: Opened, path: str) -> None:
    visit = opened(key=ADMIN, access={"admin_key": ADMIN}, may_refuse={401, 403})
    narrow = made(visit, "query", collections=["none"])
    held: list[Route] = []

    def hold(route: "Route") -> None:
        if not held and route.request.headers.get("authorization") == f"Bearer {ADMIN}":
            held.append(route)
        else:
            route.continue_()

    visit.page.route(f"**/v1/{path}", hold)
    with visit.page.expect_request(f"**/v1/{path}"):
        show(visit, ADMIN)
    show(visit, narrow)
    visit("#memory-note").get_by_text("A key of scope admin").wait_for()
    with visit.page.expect_response(lambda reply: reply.request == held[0].request) as late:
        held[0].continue_()
    late.value.finished()
    visit.page.evaluate("fetch('healthz').then(() => new Promise((resolve) => setTimeout(resolve)))")
    assert visit(".device").count() == 0
    assert "docs" not in visit("#collection").inner_text()
    assert visit("#version").inner_text() == ""
