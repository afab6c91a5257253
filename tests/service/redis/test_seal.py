"""Values that only who has the secret can have written, and only to that place."""

from service.redis.seal import Seal

SHARED = "known"


def test_what_was_sealed_is_opened_where_it_was_put() -> None:
    for data in (b"", b"x", b"\0" * 1000):
        assert Seal(SHARED).opened("a", Seal(SHARED).sealed("a", data)) == data


def test_any_other_byte_place_or_secret_opens_nothing() -> None:
    seal = Seal(SHARED)
    value = seal.sealed("place", b"some data")
    for place in range(len(value)):
        changed = bytearray(value)
        changed[place] ^= 1 << place % 8
        assert seal.opened("place", bytes(changed)) is None
        assert seal.opened("place", value[:place]) is None
    assert seal.opened("place", value + b"x") is None
    assert seal.opened("other", value) is None
    assert Seal("another").opened("place", value) is None


def test_no_byte_moves_between_place_and_data() -> None:
    seal = Seal(SHARED)
    assert seal.mark("ab", b"c") != seal.mark("a", b"bc")
