"""Collections as this process can serve them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from indexes.catalog import Catalog
from indexes.errors import CollectionConflictError, CollectionNotFoundError, InvalidNameError
from indexes.upkeep import IndexPolicy
from models.hashing import HashingEmbedder
from service.errors import InvalidRequestError
from service.library import CollectionOptions, Library
from service.settings import ChunkingSettings


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "data", IndexPolicy(256))
    yield catalog
    catalog.close()


@pytest.fixture
def library(catalog: Catalog) -> Library:
    return Library(catalog, [HashingEmbedder().info], ChunkingSettings(size=60, overlap=10))


def test_a_collection_takes_the_defaults(library: Library) -> None:
    collection, created = library.ensure("docs", CollectionOptions())
    assert created
    spec = collection.spec
    assert (spec.embedding_model, spec.dimension, spec.chunk_size, spec.chunk_overlap) == ("hashing", 64, 60, 10)
    assert spec.fingerprint == HashingEmbedder().info.fingerprint
    assert library.get("docs") is collection
    assert library.names() == ["docs"]


def test_options_override_and_a_small_size_halves_the_default_overlap(library: Library) -> None:
    spec = library.ensure("docs", CollectionOptions(chunk_size=16))[0].spec
    assert (spec.chunk_size, spec.chunk_overlap) == (16, 8)
    spec = library.ensure("flat", CollectionOptions(embedding_model="hashing", chunk_overlap=0))[0].spec
    assert (spec.chunk_size, spec.chunk_overlap) == (60, 0)


def test_what_exists_is_confirmed_or_refused(library: Library) -> None:
    made, _ = library.ensure("docs", CollectionOptions(chunk_size=50, chunk_overlap=5))
    assert library.ensure("docs", CollectionOptions()) == (made, False)
    assert library.ensure("docs", CollectionOptions(chunk_size=50, chunk_overlap=5)) == (made, False)
    assert library.ensure("docs", CollectionOptions(embedding_model="hashing")) == (made, False)
    with pytest.raises(CollectionConflictError, match=r"chunking\.overlap is 5, not 6"):
        library.ensure("docs", CollectionOptions(chunk_size=50, chunk_overlap=6))


@pytest.mark.parametrize(
    ("options", "param"),
    [
        (CollectionOptions(embedding_model="bert"), "embedding_model"),
        (CollectionOptions(chunk_size=20, chunk_overlap=20), "chunking"),
        (CollectionOptions(chunk_size=189), "chunking"),
    ],
)
def test_impossible_options(library: Library, options: CollectionOptions, param: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        library.ensure("docs", options)
    assert raised.value.param == param
    assert library.names() == []


def test_a_bad_name(library: Library) -> None:
    with pytest.raises(InvalidNameError, match="'a b'"):
        library.ensure("a b", CollectionOptions())


def test_what_another_embedder_made_is_listed_but_not_served(catalog: Catalog, library: Library) -> None:
    library.ensure("docs", CollectionOptions())
    other = Library(catalog, [HashingEmbedder(dimension=32).info], ChunkingSettings())
    assert other.names() == ["docs"]
    with pytest.raises(CollectionConflictError, match="this server runs 'hashing'"):
        other.get("docs")
    with pytest.raises(CollectionConflictError, match="this server runs 'hashing'"):
        other.ensure("docs", CollectionOptions())
    other.drop("docs")
    with pytest.raises(CollectionNotFoundError, match="'docs'"):
        other.drop("docs")


@pytest.fixture
def two(catalog: Catalog) -> Library:
    """A library of two embedders: `hashing`, and `narrow`, which reads no more than 40 tokens."""
    narrow = replace(HashingEmbedder(dimension=32, max_tokens=40).info, name="narrow")
    return Library(catalog, [HashingEmbedder().info, narrow], ChunkingSettings(size=60, overlap=10))


def test_a_collection_of_the_second_embedder(two: Library, library: Library) -> None:
    spec = two.ensure("docs", CollectionOptions(embedding_model="narrow"))[0].spec
    assert (spec.embedding_model, spec.fingerprint, spec.dimension) == ("narrow", "hashing-32-40", 32)
    assert spec.chunk_size < 40  # the default is more than this embedder can read
    assert two.get("docs").spec == spec
    assert two.ensure("docs", CollectionOptions())[0].spec == spec
    assert two.ensure("other", CollectionOptions())[0].spec.embedding_model == "hashing"
    with pytest.raises(CollectionConflictError, match="embedding_model is 'narrow', not 'hashing'"):
        two.ensure("docs", CollectionOptions(embedding_model="hashing"))
    with pytest.raises(CollectionConflictError, match=r"holds vectors of 'narrow' \(hashing-32-4\), but"):
        library.get("docs")
    assert library.find("docs").spec == spec


def test_what_no_served_embedder_made_names_all_that_are(catalog: Catalog, two: Library) -> None:
    strange = Library(catalog, [HashingEmbedder(dimension=16).info], ChunkingSettings())
    strange.ensure("docs", CollectionOptions())
    with pytest.raises(CollectionConflictError, match=r"runs 'hashing' \(hashing-64-2\), 'narrow' \(hashing-32-4\)"):
        two.get("docs")


def test_a_model_that_is_not_served_names_those_that_are(two: Library) -> None:
    with pytest.raises(InvalidRequestError, match="'bert' is not served here; there are 'hashing', 'narrow'"):
        two.ensure("docs", CollectionOptions(embedding_model="bert"))


def test_a_language_is_that_of_the_server_or_the_caller_s(catalog: Catalog) -> None:
    library = Library(catalog, [HashingEmbedder().info], ChunkingSettings(), language="en")
    assert library.ensure("plain", CollectionOptions())[0].spec.language == "en"
    made, _ = library.ensure("docs", CollectionOptions(language="de"))
    assert made.spec.language == library.reembedded("docs", CollectionOptions(chunk_size=32)).language == "de"
    assert library.ensure("docs", CollectionOptions()) == (made, False)
    with pytest.raises(CollectionConflictError, match="language is 'de', not 'en'"):
        library.ensure("docs", CollectionOptions(language="en"))


def test_another_chunking_keeps_metric_and_recall(catalog: Catalog) -> None:
    library = Library(catalog, [HashingEmbedder().info], ChunkingSettings(size=60, overlap=10), target_recall=0.9)
    assert library.ensure("plain", CollectionOptions())[0].spec.target_recall == 0.9
    made, _ = library.ensure("docs", CollectionOptions(metric="l2", target_recall=0.95))
    spec = library.reembedded("docs", CollectionOptions(chunk_size=32))
    assert (made.spec.metric, made.spec.target_recall) == (spec.metric, spec.target_recall) == ("l2", 0.95)
    assert spec.chunk_size == 32
