"""What Milvus is asked to build, and where it stands; no server is needed."""

from pathlib import Path

import pytest

from indexes.base import SearchParams
from indexes.errors import StoreUnavailableError
from indexes.milvus_index import INDEX_TYPES, IndexType, MilvusIndex
from indexes.milvus_place import FILE, UNUSED, MilvusPlace


@pytest.mark.parametrize("type_", INDEX_TYPES)
@pytest.mark.parametrize("top_k", [1, 10, 600, 20_000])
def test_no_more_is_asked_for_than_milvus_gives_and_enough_is_looked_at(type_: IndexType, top_k: int) -> None:
    index = MilvusIndex(type_, nlist=128, nprobe=500, refine=3)
    limit = index.candidates(SearchParams(top_k))
    assert limit == min(index.most, top_k if type_ == "FLAT" else 3 * top_k)
    given = index.searched_with(limit, SearchParams(top_k))
    assert given.get("ef", limit) >= limit
    assert given.get("itopk_size", limit) >= limit
    assert given.get("nprobe", 128) == 128
    assert ("refine_ratio" in given) == (type_ == "GPU_IVF_PQ")
    assert index.candidates(SearchParams(top_k, refine=1)) == min(index.most, top_k)


@pytest.mark.parametrize("dimension", [8, 100, 384, 768, 1023])
def test_codes_divide_the_dimension(dimension: int) -> None:
    codes = MilvusIndex("GPU_IVF_PQ").built_with(dimension)["m"]
    assert dimension % codes == 0
    assert codes >= dimension / 8


def test_a_place_is_written_read_and_new_each_time(tmp_path: Path) -> None:
    assert MilvusPlace.read(tmp_path) is None
    place = MilvusPlace.new().write(tmp_path)
    assert MilvusPlace.read(tmp_path) == place
    assert MilvusPlace.read(tmp_path, UNUSED) is None
    assert place.at(7).write(tmp_path).sent == 7
    read = MilvusPlace.read(tmp_path)
    assert read == place.at(7)
    assert MilvusPlace.new().name != place.name
    assert place.name.replace("_", "").isalnum(), "letters, digits and _ are what Milvus takes"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"name": "quarry_v1_00"}', "cannot be read"),
        (b'{"name": "quarry_v9_00", "sent": 1}', "of another layout than 1"),
        (b'{"name": "somebody_elses", "sent": 1}', "of another layout than 1"),
    ],
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreUnavailableError, match=said):
        MilvusPlace.read(tmp_path)
