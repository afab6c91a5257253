"""A key's text, and what is kept of it."""

import hashlib

import pytest

from service.access import key as key_module
from service.access.caller import Caller
from service.access.key import Key, Presented, digest_of, new_secret, presented
from service.access.rights import ALL, Rights


def test_a_new_key_reads_back_from_its_text() -> None:
    made = new_secret()
    assert presented(str(made)) == made
    assert str(made).startswith("quarry.")
    assert made != new_secret()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quarry",
        "quarry..",
        "sk-0123456789abcdef",
        "quarry.0123456789abcdef." + "x" * 42,
        "quarry.0123456789abcdef." + "x" * 44,
        "quarry.0123456789ABCDEF." + "x" * 43,
        "quarry.0123456789abcde." + "x" * 43,
        "quarry.0123456789abcdef." + "é" * 43,
        " quarry.0123456789abcdef." + "x" * 43,
        "quarry.0123456789abcdef." + "x" * 43 + "\n",
    ],
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert presented(text) is None


def test_only_the_digest_is_kept_and_only_the_secret_fits() -> None:
    made = new_secret()
    kept = Key(made.id, "a", digest_of(made.secret), ALL)
    assert kept.digest == hashlib.sha256(made.secret.encode()).digest()
    assert made.secret not in repr(kept)
    assert kept.fits(made.secret)
    for other in ("", made.secret[:-1], made.secret.swapcase(), new_secret().secret, "\ud800"):
        assert not kept.fits(other)


def test_secrets_are_compared_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(key_module, "compare_digest", compare)
    kept = Key("0" * 16, "a", digest_of("s"), ALL)
    assert kept.fits("s")
    assert not kept.fits("t")
    assert compared == [(digest_of("s"), digest_of("s")), (digest_of("s"), digest_of("t"))]


def test_callers_of_different_keys_share_nothing() -> None:
    one, two = (Caller.of(Key(made.id, "same name", b"", Rights())) for made in (new_secret(), new_secret()))
    assert one.name != two.name
    assert one.realm != two.realm
    assert Caller("127.0.0.1").realm == Caller("127.0.0.2").realm == ""
    assert Caller("127.0.0.1").rights is ALL


def test_a_key_that_is_shown_keeps_its_parts() -> None:
    assert presented("quarry.0123456789abcdef." + "x" * 43) == Presented("0123456789abcdef", "x" * 43)
