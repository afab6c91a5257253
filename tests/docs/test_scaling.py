"""docs/scaling.md: its computed figures come about by the program and by the formulas that stand beside them."""

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import pytest

from indexes.base import Chunk
from indexes.ivf_pq_params import IvfPqParams
from indexes.milvus_index import MilvusIndex
from indexes.milvus_row import HELD, PAYLOAD, RANGES, rows_of
from markdown_page import ROOT
from service.capacity.card_index import CardIndex

TEXT = (ROOT / "docs" / "scaling.md").read_text()
PROSE = " ".join(TEXT.split())
SIZING = (ROOT / "docs" / "sizing.md").read_text()
CHARACTERS, SENTENCES, ID, FIELDS = 400, 4, 36, {"tenant": "acme", "year": 2024, "kind": "memo"}
BEYOND_TEXT = 563
TOKENS, INGESTED_PER_S = 100, 10_000
PAGES = 1_073_741_823


@dataclass(frozen=True, slots=True)
class Size:
    """A column of the table."""

    rows: int
    dimension: int

    @property
    def params(self) -> IvfPqParams:
        return IvfPqParams.for_rows(self.rows, self.dimension)

    @property
    def stored(self) -> int:
        """Bytes of a chunk in the store."""
        sentences = (self.dimension + 12) * SENTENCES
        return 4 * self.dimension + 2 * CHARACTERS + sentences + 800

    @property
    def in_memory(self) -> float:
        own = 4 * self.dimension + 32 + self.params.m + 8
        return own + 4 * self.dimension * self.params.nlist / self.rows

    def on_card(self, home: str) -> int:
        index = CardIndex.of(self.rows, self.dimension, "card" if home == "card" else "host")
        assert index.served.refine == home
        return index.index.bytes + index.scratch.bytes + index.rebuild.bytes


SIZES = [Size(10**7, 384), Size(10**8, 384), Size(10**8, 1024), Size(10**9, 384), Size(10**9, 1024)]


def shown(size: float) -> str:
    return f"{size / 1e12:.3g} TB" if size >= 1e12 else f"{size / 1e9:.3g} GB"


ROWS: dict[str, Callable[[Size], float]] = {
    "**store**, on the writer's disk": lambda size: size.rows * size.stored,
    "of it vectors, float32": lambda size: size.rows * 4 * size.dimension,
    "of it vectors of sentences, a byte a number": lambda size: size.rows * (size.dimension + 12) * SENTENCES,
    "**one node**: memory, vectors exact": lambda size: size.rows * size.in_memory,
    "words, on its disk": lambda size: size.rows * 0.41 * CHARACTERS,
    "card, codes alone (PQ)": lambda size: size.on_card("host"),
    "card, vectors in half precision too (float16)": lambda size: size.on_card("card"),
    "**Milvus**: rows as they are sent": lambda size: size.rows * (4 * size.dimension + CHARACTERS + BEYOND_TEXT),
    "of it text, metadata and what filters look at": lambda size: size.rows * (CHARACTERS + BEYOND_TEXT),
    "index `HNSW`, memory of query nodes": lambda size: size.rows * (4 * size.dimension + 8 * built("HNSW")["M"]),
    "index `GPU_CAGRA`, memory of cards": lambda size: (
        size.rows * 4 * (size.dimension + built("GPU_CAGRA")["graph_degree"])
    ),
    "index `GPU_IVF_PQ`, memory of cards": lambda size: (
        size.rows * (4 * size.dimension + built("GPU_IVF_PQ", size.dimension)["m"] + 8)
    ),
}


def built(index: str, dimension: int = 384) -> dict[str, int]:
    return MilvusIndex(index).built_with(dimension)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table_comes_about_by_its_formula(name: str) -> None:
    assert f"| {name} | {' | '.join(shown(ROWS[name](size)) for size in SIZES)} |" in TEXT


def test_the_table_has_these_columns_and_rows_alone() -> None:
    names = [f"{size.rows // 10**6}M" if size.rows < 10**9 else f"{size.rows // 10**9}B" for size in SIZES]
    head = " | ".join(f"{name} x {size.dimension}" for name, size in zip(names, SIZES, strict=True))
    table = TEXT.split(f"| chunks x dimensions | {head} |\n")[1].split("\n\n")[0]
    assert [line.split(" | ")[0].strip("| ") for line in table.splitlines()[1:]] == list(ROWS)


def test_a_row_of_milvus_has_the_bytes_of_the_page() -> None:
    text = "x" * CHARACTERS
    chunk = Chunk("d" * ID, 3, text, 1200, 1600, ("h" * 20, "h" * 20), 7)
    (row,) = rows_of("t" * 40, "u" * 60, FIELDS, [chunk], np.zeros((1, 384), dtype=np.float32))
    entity = row.entity(1, 1)
    numbers = 4 * 8  # row, ordinal, version, checksum
    held = sum(map(len, entity[HELD])) + len(json.dumps(entity[RANGES], separators=(",", ":")))
    assert len(entity[PAYLOAD]) + ID + numbers + held == CHARACTERS + BEYOND_TEXT
    assert f"4 d + t + {BEYOND_TEXT}" in TEXT


def test_words_take_what_was_measured_of_this_documentation() -> None:
    (chunks, characters), (megabytes,) = (
        re.search(pattern, SIZING).groups()  # type: ignore[union-attr]
        for pattern in (r"has ([\d,]+) chunks of (\d+) characters", r"and ([\d.]+) MB of words")
    )
    share = float(megabytes) * 1e6 / int(chunks.replace(",", "")) / int(characters)
    assert f"| words | {share:.2f} t |" in TEXT


def test_a_store_ends_where_sqlite_does() -> None:
    assert f"{PAGES:,} pages of 4 KiB: {PAGES * 4096 / 1e12:.1f} TB" in PROSE
    most = [PAGES * 4096 / size.stored / 1e6 for size in (SIZES[0], SIZES[2])]
    assert f"{most[0]:.0f} million of the chunks of 384 dimensions above, {most[1]:.0f} million of 1024" in PROSE
    assert f"| {most[0]:.0f} and {most[1]:.0f} million |" in TEXT
    if sqlite3.sqlite_version_info < (3, 45):
        (pages,) = sqlite3.connect(":memory:").execute("PRAGMA max_page_count").fetchone()
        assert pages == PAGES


def test_answers_that_a_cache_holds() -> None:
    token = int(re.search(r"tokens, ([\d,]+) bytes each", SIZING)[1].replace(",", ""))  # type: ignore[index]
    cache = int(re.search(r"([\d,]+) tokens of KV cache", SIZING)[1].replace(",", ""))  # type: ignore[index]
    assert f"takes {token:,} bytes of KV cache" in PROSE
    assert f"leaves {cache:,} tokens of it" in PROSE
    for prompt, answer in ((1200, 200), (1200, 400), (4000, 400)):
        tokens = prompt + answer
        at_once = cache // tokens
        rates = " | ".join(f"{cache / tokens / seconds:.3g} a second" for seconds in (5, 10))
        line = f"| {prompt:,} + {answer} tokens | {tokens * token / 1e6:.0f} MB | {at_once} | {rates} |"
        assert line in TEXT


def test_times_that_follow_from_what_was_measured() -> None:
    days = [size.rows * TOKENS / INGESTED_PER_S / 86_400 for size in SIZES]
    assert f"{days[0] * 24:.0f} hours for 10 million chunks of {TOKENS} tokens, {days[1]:.0f} days for 100" in TEXT
    assert f"{days[3]:.0f} for a billion" in TEXT
    assert f"{INGESTED_PER_S:,} to" in SIZING
    search = (ROOT / "docs" / "benchmarks" / "search.md").read_text()
    start_s = float(re.search(r"A start takes ([\d.]+) s more for each million rows", search)[1])  # type: ignore[index]
    assert f"{start_s * 10:.0f} s for 10 million, {start_s * 100 / 60:.0f} minutes for 100 million: {start_s} s" in TEXT
    purged = re.search(r"(\d+) MB, took (\d+) s", (ROOT / "docs" / "collections.md").read_text())
    assert purged
    hours = SIZES[1].rows * SIZES[1].stored / (int(purged[1]) * 1e6) * int(purged[2]) / 3600
    assert f"| {hours:.1f} hours for 100 million chunks |" in TEXT


def test_what_doubles_with_the_dimensions() -> None:
    assert f"x {Size(10**7, 768).stored / Size(10**7, 384).stored:.2f} from 384 on" in TEXT
    assert built("GPU_IVF_PQ", 1024)["m"] == ceil(1024 / 8)


def test_what_fits_on_the_card_that_is_named() -> None:
    card = 141 * 2**30 / 1e9
    assert f"({shown(SIZES[3].on_card('host')).removesuffix(' GB')} of {card:.0f} GB)" in PROSE
    assert 6 < card * 1e9 / SIZES[0].on_card("card") < 7
