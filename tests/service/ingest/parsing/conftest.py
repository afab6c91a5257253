"""Parsers in children, and small files of every type for them."""

import io
import sys
import zipfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import pdf_file
from service.ingest.loaders import LoadedText
from service.ingest.parsing.child_parsers import ChildParsers
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.ingest.parsing.kept_fork_server import KeptForkServer
from service.parsing_settings import ParsingSettings
from service.telemetry.metrics import Metrics

T = TypeVar("T")
CHARACTERS = 1_000_000
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEADINGS = "".join(
    f'<w:style w:type="paragraph" w:styleId="H{level}"><w:name w:val="heading {level}"/></w:style>'
    for level in range(1, 10)
)


@dataclass
class Parsing:
    """Parsers that run, and what a test asks of them; ``folder`` has the files."""

    portal: BlockingPortal
    kept: KeptForkServer
    folder: Path
    metrics: Metrics

    def parsers(self, characters: int = CHARACTERS, **settings: Any) -> ChildParsers:  # noqa: ANN401
        return ChildParsers(self.kept, ParsingSettings(**settings), characters, self.metrics.parsing)

    def parse(self, name: str, data: bytes, **settings: Any) -> LoadedText:  # noqa: ANN401
        return self.run(self.parsers(**settings).parse, name, self.raw(data))

    def raw(self, data: bytes) -> Path:
        path = self.folder / f"{len(list(self.folder.iterdir()))}"
        path.write_bytes(data)
        return path

    def run(self, call: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        return self.portal.call(call, *arguments)

    @property
    def pid(self) -> int:
        """Of the fork server."""
        return self.run(self.kept.running).pid

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@contextmanager
def _opened(folder: Path, start: Callable[[], ForkServerProcess]) -> Iterator[Parsing]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(KeptForkServer(start=start)) as kept:
        yield Parsing(portal, kept, folder, Metrics())


def _hostile() -> ForkServerProcess:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return ForkServerProcess("hostile_fork_server")
    finally:
        del sys.path[0]


@pytest.fixture(scope="session")
def parsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parsing]:
    """The parsers as they are."""
    with _opened(tmp_path_factory.mktemp("raw"), ForkServerProcess) as parsing:
        yield parsing


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parsing]:
    """Parsers that do what a text file says; see hostile_fork_server.py."""
    with _opened(tmp_path_factory.mktemp("raw"), _hostile) as parsing:
        yield parsing


@pytest.fixture
def own_hostile(tmp_path: Path) -> Iterator[Parsing]:
    """The same with a fork server for this test alone, which it may kill."""
    with _opened(tmp_path, _hostile) as parsing:
        yield parsing


def _docx(body: str, title: str = "", parts: Mapping[str, bytes] | None = None) -> bytes:
    """A DOCX of a body in WordprocessingML, with styles H1 to H9; ``parts`` adds or replaces."""
    all_parts: dict[str, bytes] = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Override PartName="/word/document.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>'
        "</Types>".encode(),
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'.encode(),
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'.encode(),
        "word/styles.xml": f'<w:styles xmlns:w="{WORD}">{_HEADINGS}</w:styles>'.encode(),
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'.encode(),
        "docProps/core.xml": f'<p xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></p>'.encode(),
        **(parts or {}),
    }
    return archived(all_parts)


def archived(parts: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.fixture(scope="session")
def pdf() -> Callable[..., bytes]:
    """(pages, title="", more=()) -> a PDF."""
    return pdf_file.pdf


@pytest.fixture(scope="session")
def pdf_of() -> Callable[..., bytes]:
    """(objects, trailer) -> a PDF of objects in its own syntax, the first of which is the root."""
    return pdf_file.assembled


@pytest.fixture(scope="session")
def docx() -> Callable[..., bytes]:
    """(body, title="", parts={}) -> a DOCX."""
    return _docx


@pytest.fixture(scope="session")
def zipped() -> Callable[[Mapping[str, bytes]], bytes]:
    """Parts -> a zip archive."""
    return archived
