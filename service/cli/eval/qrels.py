"""Judgments: which documents answer which query, and how well, in BEIR's and trec_eval's numbers."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from service.cli.eval.record import DatasetError

Judgments = Mapping[str, Mapping[str, int]]
_PLACES = ("qrels.tsv", "qrels/test.tsv")
_COLUMNS = ("query-id", "corpus-id", "score")


def read_judgments(folder: Path) -> Judgments:
    """Score by document by query, of ``qrels.tsv`` or ``qrels/test.tsv``; the line with the columns' names is optional.

    Raises:
        DatasetError: there is neither, or a line is not what it should be.
    """
    path = next((folder / place for place in _PLACES if (folder / place).is_file()), None)
    if path is None:
        raise DatasetError(f"{folder}: has neither {' nor '.join(_PLACES)}")
    judgments: dict[str, dict[str, int]] = {}
    for number, (query, document, score) in _rows(path):
        if judgments.setdefault(query, {}).setdefault(document, score) != score:
            earlier = judgments[query][document]
            raise DatasetError(f"{path}:{number}: score {score} of {query!r} and {document!r} was {earlier} before")
    return judgments


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str, int]]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not (number == 1 and _is_header(line)):
            yield number, _row(path, number, line)


def _is_header(line: bytes) -> bool:
    """The names of the columns, as BEIR writes them; the first two are called this and that elsewhere."""
    fields = line.strip().lower().split(b"\t")
    return len(fields) == len(_COLUMNS) and fields[-1] == _COLUMNS[-1].encode()


def _row(path: Path, number: int, line: bytes) -> tuple[str, str, int]:
    try:
        fields = line.decode().split("\t")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}:{number}: is not UTF-8: {error}") from None
    if len(fields) != len(_COLUMNS):
        raise DatasetError(f"{path}:{number}: has {len(fields)} columns, not {' '.join(_COLUMNS)} between tabs")
    for name, field in zip(_COLUMNS, fields, strict=True):
        if not field.strip():
            raise DatasetError(f"{path}:{number}: {name} is empty")
    query, document, score = (field.strip() for field in fields)
    try:
        return query, document, int(score)
    except ValueError:
        raise DatasetError(f"{path}:{number}: score must be a whole number, not {score!r}") from None
