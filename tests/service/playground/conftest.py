"""The playground of a server of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from browsing import DESKTOP, Visit, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def opened(browser: "Browser", listening: Callable[..., str]) -> Iterator[Callable[..., Visit]]:
    """(key=..., text=..., may_refuse=..., viewport=..., **server) -> the page of a server.

    It has one document, docs/sky, unless the text is empty.
    """
    with ExitStack() as stack:

        def start(
            key: str = "",
            text: str = "The sky is blue.",
            may_refuse: set[int] | None = None,
            viewport: dict[str, int] = DESKTOP,
            **server: object,
        ) -> Visit:
            address = listening(**server)
            if text:
                path, headers = "/v1/collections/docs/documents/sky", {"Authorization": f"Bearer {key}"} if key else {}
                httpx.put(address + path, json={"title": "Sky", "text": text}, headers=headers).raise_for_status()
            visit = stack.enter_context(visiting(browser, address, viewport))
            visit.may_refuse = may_refuse or set()
            visit.open()
            return visit

        yield start
