"""What a collection has, in words."""

import pytest

from service.cli.console import extent


@pytest.mark.parametrize(
    ("documents", "chunks", "said"),
    [
        (0, 0, "0 documents, 0 chunks"),
        (1, 1, "1 document, 1 chunk"),
        (1, 2, "1 document, 2 chunks"),
        (2, None, "2 documents"),
    ],
)
def test_one_is_no_plural(documents: int, chunks: int | None, said: str) -> None:
    assert extent({"documents": documents, "chunks": chunks}) == said
