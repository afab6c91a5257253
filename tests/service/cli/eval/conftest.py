"""A tiny collection in BEIR's layout, in words of our own."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.options import Options
from service.cli.eval.way import Way

CORPUS = [
    {"_id": "bees", "title": "Bees", "text": "The honey bees of the meadow sleep in winter. Their keeper is Alma."},
    {"_id": "mill", "title": "Mill", "text": "The water mill by the river was built in 1702. It grinds barley."},
    {"_id": "ferry", "title": "Ferry", "text": "A ticket for the ferry does cost four crowns. It leaves at noon."},
    {"_id": "blank", "title": "", "text": "  "},
]
QUERIES = [
    {"_id": "q1", "text": "When do the honey bees of the meadow sleep?", "answers": ["winter"], "answerable": True},
    {"_id": "q2", "text": "When was the water mill by the river built?", "answers": ["in 1702"], "answerable": True},
    {"_id": "q3", "text": "What does a ticket for the ferry cost?", "answers": ["Four crowns"], "answerable": True},
    {"_id": "q4", "text": "Who painted the lighthouse?", "answers": [], "answerable": False},
]
JUDGMENTS = [("q1", "bees", 2), ("q1", "mill", 0), ("q2", "mill", 1), ("q3", "ferry", 1)]


def lines(objects: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[..., Path]:
    """(name, corpus=..., queries=..., judgments=...) -> the folder of a dataset; what is None is not written."""

    def written(
        name: str = "village",
        corpus: str | None = lines(CORPUS),
        queries: str | None = lines(QUERIES),
        judgments: str | None = "".join(f"{query}\t{document}\t{score}\n" for query, document, score in JUDGMENTS),
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", judgments)):
            if text is not None:
                (folder / file).write_bytes(text.encode("utf-8", "surrogateescape"))
        return folder

    return written


@pytest.fixture
def village(write_dataset: Callable[..., Path]) -> Path:
    """Three documents, an empty one, three questions that they answer and one that they do not."""
    return write_dataset()


@pytest.fixture
def options() -> Callable[..., Options]:
    """(**changes) -> options for something small."""

    def made(**changes: Any) -> Options:  # noqa: ANN401  as Options has them
        plain = {
            "ways": [Way.named("default")],
            "foreign": [],
            "top_k": 10,
            "queries": None,
            "concurrency": 2,
            "llm": "extractive",
            "keep": False,
            "bootstrap": Bootstrap(seed=1, resamples=100),
        }
        return Options(**(plain | changes))

    return made
