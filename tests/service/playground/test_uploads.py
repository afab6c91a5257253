"""Files that are added by way of the playground."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from browsing import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser

Opened = Callable[..., Visit]
QUESTION = "Which colour is the sky?"
SAID = "The sky is blue."


def test_an_empty_server_leads_to_an_upload(opened: Opened) -> None:
    visit = opened(text="")
    assert visit("#empty").is_visible()
    assert visit("#send").is_disabled()
    visit("#empty-add").click()
    assert visit("#upload-files").evaluate("input => document.activeElement === input")
    visit("#upload-files").set_input_files({"name": "sky.txt", "mimeType": "text/plain", "buffer": SAID.encode()})
    visit("#upload button").click()
    visit("#send:enabled").wait_for()
    assert visit("#empty").is_hidden()
    assert visit("#uploads .said").inner_text() == "added"
    visit.ask(QUESTION)
    assert SAID in visit("#answer-text").inner_text()


def test_a_file_that_was_taken_is_never_said_to_be_lost(opened: Opened) -> None:
    visit = opened(text="", may_refuse={403})
    looks: list[str] = []

    def fail(route: "Route") -> None:
        looks.append(route.request.url)
        if len(looks) == 1:
            route.abort()  # is tried again
        else:
            route.fulfill(status=403, body=json.dumps({"detail": "No scope."}))

    visit.page.route("**/v1/jobs/*", fail)
    visit("#upload-files").set_input_files({"name": "sky.txt", "mimeType": "text/plain", "buffer": SAID.encode()})
    visit("#upload button").click()
    visit("#uploads-told:not(:empty)").wait_for(state="attached")
    assert len(looks) == 2
    assert visit("#uploads .said").inner_text() == "taken, and no more is known"
    assert "No scope." in visit("#uploads .problem").inner_text()
    assert "goes on all the same" in visit("#uploads .problem").inner_text()


def test_who_could_ask_still_can_when_the_server_is_busy_for_a_moment(opened: Opened) -> None:
    visit = opened(may_refuse={503})
    visit.page.route("**/v1/collections", lambda route: route.fulfill(status=503, body=json.dumps({"detail": "Busy."})))
    visit("#upload-files").set_input_files(
        {"name": "sea.txt", "mimeType": "text/plain", "buffer": b"The sea is green."}
    )
    visit("#upload button").click()
    visit("#problem").get_by_text("Busy.").wait_for()
    visit.ask(QUESTION)
    assert SAID in visit("#answer-text").inner_text()


def test_a_collection_that_is_typed_stays_when_an_upload_ends(opened: Opened) -> None:
    visit = opened()
    held: list[Route] = []

    def hold(route: "Route") -> None:
        held.append(route)

    visit.page.route("**/v1/jobs/*", hold)
    visit("#upload-files").set_input_files(
        {"name": "sea.txt", "mimeType": "text/plain", "buffer": b"The sea is green."}
    )
    assert visit("#upload-collection").input_value() == "docs"
    with visit.page.expect_request("**/v1/jobs/*"):
        visit("#upload button").click()
    visit("#upload-collection").fill("next")
    held[0].continue_()
    visit("#uploads-told:not(:empty)").wait_for(state="attached")
    visit("#collection").get_by_text("docs (2 documents)").wait_for(state="attached")
    assert visit("#upload-collection").input_value() == "next"


def test_a_page_of_a_login_is_no_reply(opened: Opened) -> None:
    visit = opened(text="")
    visit.page.route("**/v1/collections/**", lambda route: route.fulfill(body="<html>Log in</html>"))
    visit("#upload-files").set_input_files({"name": "sky.txt", "mimeType": "text/plain", "buffer": SAID.encode()})
    visit("#upload button").click()
    visit("#uploads-told:not(:empty)").wait_for(state="attached")
    assert "Has a login ended?" in visit("#uploads .problem").inner_text()


def stored(visit: Visit, collection: str) -> None:
    """Add a file to this collection, whose name stands there already."""
    assert visit("#upload-collection").input_value() == collection
    visit("#upload-files").set_input_files({"name": "sea.txt", "mimeType": "text/plain", "buffer": b"Green."})
    visit("#upload button").click()
    visit("#uploads-told").get_by_text(f"stored in {collection}").wait_for(state="attached")


def test_files_go_where_one_asks(opened: Opened) -> None:
    visit = opened()
    visit("#upload-collection").fill("papers")
    stored(visit, "papers")
    visit("#collection option[value='papers']:checked").wait_for(state="attached")
    visit("#collection").select_option("docs")
    assert visit("#upload-collection").input_value() == "docs", "the typed name has had its files"
    visit("#collection").select_option("papers")
    stored(visit, "papers")
    visit("#upload-collection").fill("next")
    visit("#collection").select_option("docs")
    assert visit("#upload-collection").input_value() == "next", "somebody has typed it"


def test_nothing_of_the_right_column_is_cut_after_many_files(opened: Opened) -> None:
    visit = opened()
    files = [{"name": f"{number}.txt", "mimeType": "text/plain", "buffer": b"Green."} for number in range(4)]
    files += [{"name": f"{number}.exe", "mimeType": "text/plain", "buffer": b"MZ"} for number in range(3)]
    visit("#upload-files").set_input_files(files)
    visit("#upload button").click()
    visit("#uploads-told").get_by_text("4 files of 7 stored in docs").wait_for()
    column = visit("aside").bounding_box()
    memory = visit("#memory").bounding_box()
    assert column is not None
    assert memory is not None
    assert column["height"] > visit.page.evaluate("innerHeight"), "else there was nothing to cut"
    assert memory["y"] + memory["height"] <= column["y"] + column["height"]
    assert visit("#uploads-told").evaluate("told => getComputedStyle(told).clipPath") == "none", "for everybody"
