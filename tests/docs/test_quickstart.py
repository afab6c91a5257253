"""README.md and docs/quickstart.md: who types their commands in their order gets what they show."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from markdown_page import ROOT, Block, Page
from newcomer import START, Newcomer
from pdf_file import pdf

PAGES = [Page(ROOT / "README.md"), Page(ROOT / "docs" / "quickstart.md")]
# Commands that are not typed, and why.
NOT_RUN = {"quarry serve --config quarry.toml": "needs a language model's server; tests/service/story has it"}
LANGUAGES = {"console", "python", "toml"}
PUMP = [
    "This page is about how to start the pump.\nIt is started with its valve closed.",
    "The pump is serviced every ninety days by a trained technician.\nOld oil goes to the collection point.",
]
LEASE = ["The lease of the hall ends on the last day of March.\nThe notice period is six months."]


@pytest.fixture(params=PAGES, ids=lambda page: page.path.name)
def page(request: pytest.FixtureRequest) -> Page:
    chosen: Page = request.param
    return chosen


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    for program in ("bash", "curl", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing, which the pages use")
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "pump.pdf").write_bytes(pdf(PUMP, title="Pump P-7"))
    (papers / "lease.pdf").write_bytes(pdf(LEASE, title="Lease of the hall"))
    somebody = Newcomer(tmp_path)
    yield somebody
    somebody.end()


def run(block: Block, newcomer: Newcomer) -> None:
    if block.language == "python":
        assert newcomer.python(block.text).strip()
        return
    printed = ""
    for command in block.commands:
        if command == START:
            newcomer.start()
        elif command not in NOT_RUN:
            printed += newcomer.type(command)
    if block.shown:
        assert block.shows(printed), f"{block.text}\nprinted:\n{printed}"


def test_what_a_page_says_can_be_typed(page: Page, newcomer: Newcomer) -> None:
    assert {block.language for block in page.blocks} <= LANGUAGES
    for block in page.blocks:
        if block.language != "toml":
            run(block, newcomer)


def test_what_is_not_run_is_there() -> None:
    commands = {command for page in PAGES for block in page.blocks for command in block.commands}
    assert set(NOT_RUN) <= commands
    assert all(START in {command for block in page.blocks for command in block.commands} for page in PAGES)


def test_the_readme_is_a_screen_and_a_table_of_contents() -> None:
    text = (ROOT / "README.md").read_text()
    screen, heading, contents = text.partition("## Documentation\n")
    assert heading
    assert len(screen.splitlines()) <= 50
    assert all(not line or line.startswith(("|", "[Apache-2.0]")) for line in contents.splitlines())
