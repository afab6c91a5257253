"""README.md and docs/quickstart.md: who types their commands in their order gets what they show."""

import shutil
from collections.abc import Iterator

import pytest

from markdown_page import ROOT, Block, Page
from newcomer import START, Newcomer
from pdf_file import pdf

PAGES = [Page(ROOT / "README.md"), Page(ROOT / "docs" / "quickstart.md")]
# Commands that are not typed, and why.
NOT_RUN = {"quarry serve --config quarry.toml": "needs a language model's server; tests/service/story has it"}
LANGUAGES = {"console", "python", "toml"}
PUMP = [
    "In the box are a wrench, four bolts and a gasket.",
    "The pump is serviced every ninety days by a trained technician.",
]
LEASE = ["The lease of the hall ends on the last day of March.\nThe notice period is six months."]


@pytest.fixture(params=PAGES, ids=lambda page: page.path.name)
def page(request: pytest.FixtureRequest) -> Page:
    chosen: Page = request.param
    return chosen


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """One for all pages, as the next page would start the same server again."""
    for program in ("bash", "curl", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing, which the pages use")
    home = tmp_path_factory.mktemp("home")
    papers = home / "papers"
    papers.mkdir()
    (papers / "pump.pdf").write_bytes(pdf(PUMP, title="Pump P-7"))
    (papers / "lease.pdf").write_bytes(pdf(LEASE, title="Lease of the hall"))
    somebody = Newcomer(home)
    yield somebody
    somebody.end()


def begin(newcomer: Newcomer) -> None:
    """The server, without what an earlier page has brought into it."""
    if newcomer.has_started:
        newcomer.type("quarry collections delete papers --yes")
    else:
        newcomer.start()
        assert '{"asctime"' not in newcomer.logged, "lines of a log between what is said to a newcomer"


def run(block: Block, newcomer: Newcomer) -> None:
    if block.language == "python":
        assert newcomer.python(block.text).strip()
        return
    printed = ""
    for command in block.commands:
        if command == START:
            begin(newcomer)
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
