"""Every link of every page leads to a file and a heading that are there; those that leave the project are https."""

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from markdown_page import ROOT, Page, paths

# What a server shows to its own machine.
HERE = {"127.0.0.1", "localhost"}


@cache
def page_at(path: Path) -> Page:
    return Page(path)


def fault(page: Page, link: str) -> str | None:
    """What is wrong with a link, if anything is."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        is_web = parts.scheme == "https" and "." in (parts.hostname or "")
        return None if is_web or (parts.scheme == "http" and parts.hostname in HERE) else "no https address"
    target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if not target.is_relative_to(ROOT):
        return "outside of the project"
    if not target.exists():
        return "no such file"
    if parts.fragment and parts.fragment not in page_at(target).anchors:
        return "no such heading"
    return None


@pytest.mark.parametrize("path", paths(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_what_is_there(path: Path) -> None:
    page = page_at(path)
    assert {link: why for link in page.links if (why := fault(page, link))} == {}


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.is_file():
            continue
        reached.add(path)
        local = (urlsplit(link).path for link in page_at(path).links if not urlsplit(link).netloc)
        waiting += [(path.parent / link).resolve() for link in local if link]
    folders = {ROOT / "docs" / "decisions"}  # which the README links to as a whole
    left = {path for path in paths() if path.is_relative_to(ROOT / "docs") and path.parent not in folders} - reached
    assert left == set()
