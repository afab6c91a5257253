"""The playground in a browser: what its page asks for, and what it complains of."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, Route

PATIENCE_MS = 200_000
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
# Said by Chromium of every reply that is no success, and of none; those are looked at by their status.
_OF_A_REPLY = "Failed to load resource: "


@dataclass
class Visit:
    """A page of a server, from when it was opened.

    Attributes:
        address: of the server.
        asked: addresses of all requests, in order.
        complaints: errors of scripts, and what the console was told, breaches of the policy among it.
        refused: status and path of replies that were no success.
        may_refuse: statuses that the test brings about.
    """

    page: "Page"
    address: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    may_refuse: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __call__(self, selector: str) -> "Locator":
        """Elements of the page."""
        return self.page.locator(selector)

    def open(self, path: str = "/") -> None:
        """Load the page; it has then asked what there is to be asked about."""
        self.page.goto(self.address + path)
        self("#memory-note:not(:empty), #memory-devices:not(:empty)").first.wait_for(state="attached")

    def ask(self, question: str) -> None:
        """Ask, and wait until the answer has ended, however it does."""
        self("#question").fill(question)
        self("#send").click()
        self.ended()

    def ended(self) -> None:
        """Wait for the end of an answer."""
        self("#outcome:not([data-state='busy'])").wait_for()
        self("#stop").wait_for(state="hidden")

    def replies(self, body: str, status: int = 200, **headers: str) -> None:
        """Let this be the reply to every question, whatever the server would say."""

        def fulfil(route: "Route") -> None:
            route.fulfill(body=body, status=status, headers=headers)

        self.page.route("**/v1/query", fulfil)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wide

    def check(self) -> None:
        """It asked nobody but its server, and nothing went wrong that the test does not know of."""
        outside = [url for url in self.asked if not url.startswith((f"{self.address}/", "blob:", "data:"))]
        assert outside == []
        assert self.complaints == []
        assert [(status, path) for status, path in self.refused if status not in self.may_refuse] == []

    def _note_request(self, request: "Request") -> None:
        self.asked.append(request.url)

    def _note_response(self, response: "Response") -> None:
        if not response.ok and response.status != httpx.codes.NOT_MODIFIED:
            self.refused.append((response.status, httpx.URL(response.url).path))

    def _note_console(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_OF_A_REPLY):
            self.complaints.append(message.text)


@contextmanager
def visiting(
    browser: "Browser", address: str, viewport: dict[str, int] = DESKTOP, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Visit]:
    """A new page with nothing of any other, which is checked at its end; nobody has opened it."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    try:
        visit = Visit(context.new_page(), address)
        yield visit
        visit.check()
    finally:
        context.close()


def event(name: str, data: object) -> str:
    """One of a stream, as the server sends it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
