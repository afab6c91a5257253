import pytest

from indexes.errors import InvalidNameError
from indexes.names import check_collection_name, check_document_id


@pytest.mark.parametrize("name", ["a", "A9", "0", "a.b-c_d", "x" * 64])
def test_good_collection_names_are_taken(name: str) -> None:
    check_collection_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\n", "a\x00", "x" * 65, "../a"])
def test_bad_collection_names_are_refused_and_named(name: str) -> None:
    with pytest.raises(InvalidNameError) as refused:
        check_collection_name(name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize(
    "document_id", ["a", "a b", "docs/a.md", "ä世界👩‍🚀", "...", "x" * 512, "é" * 256, "https://e.x/?q=1#f"]
)
def test_good_document_ids_are_taken(document_id: str) -> None:
    check_document_id(document_id)


@pytest.mark.parametrize(
    ("document_id", "reason"),
    [
        ("", "takes 0 bytes"),
        ("x" * 513, "takes 513 bytes; the limit is 1 to 512"),
        ("é" * 257, "takes 514 bytes"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        (".", "path segment"),
        ("..", "path segment"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_bad_document_ids_are_refused_with_the_reason(document_id: str, reason: str) -> None:
    with pytest.raises(InvalidNameError, match=reason):
        check_document_id(document_id)


def test_a_refusal_shows_the_beginning_of_a_long_id_only() -> None:
    with pytest.raises(InvalidNameError) as refused:
        check_document_id("x" * 10_000)
    assert len(str(refused.value)) < 200
