"""The keys of a data directory: what is on the disk is what holds, whatever goes wrong."""

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from indexes.filters import parse_filter
from service.access import keys as keys_module
from service.access.key import KeyLimits, Presented
from service.access.keys import Keys, NewKey
from service.access.rights import ALL, Rights
from service.errors import KeyConflictError, KeyNotFoundError, KeysUnavailableError, UnauthenticatedError

FILE = "keys.json"
ADMIN = "a-key-of-an-operator-with-40-characters!"
READER = Rights(
    frozenset({"query"}),
    frozenset({"docs", "live"}),
    parse_filter({"type": "in", "key": "tenant", "value": ["acmé", 1, 0.1, True]}),
)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def edited(folder: Path, edit: Callable[[Any], object]) -> None:
    """The file, once somebody has been at it."""
    path = folder / FILE
    held = orjson.loads(path.read_bytes())
    edit(held)
    path.write_bytes(orjson.dumps(held))


def test_a_key_holds_at_once_and_after_a_restart(keys: Keys, tmp_path: Path) -> None:
    assert not keys.are_needed
    made, text = keys.create(NewKey("reader", READER, KeyLimits(60, 1000, 2)))
    for each in (keys, Keys(tmp_path)):
        assert each.are_needed
        assert each.shown(str(text)) == made
        assert each.listed() == each.holding == [made]
        assert each.get(made.id) == made
    assert (made.name, made.rights, made.limits) == ("reader", READER, KeyLimits(60, 1000, 2))


def test_the_disk_holds_no_secret(keys: Keys, tmp_path: Path) -> None:
    _, text = keys.create(NewKey("a", ALL))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert text.secret.encode() not in (tmp_path / FILE).read_bytes()
    assert not hasattr(keys.listed()[0], "secret")


def test_nobody_else_may_read_the_file_whatever_lay_there_before(tmp_path: Path) -> None:
    (tmp_path / "keys.new").write_text("half of it")
    (tmp_path / "keys.new").chmod(0o666)
    was = os.umask(0)
    try:
        Keys(tmp_path / "new" / "folder").create(NewKey("a", ALL))
        Keys(tmp_path).create(NewKey("a", ALL))
    finally:
        os.umask(was)
    assert mode(tmp_path / FILE) == mode(tmp_path / "new" / "folder" / FILE) == 0o600
    assert not (tmp_path / "keys.new").exists()


def test_what_is_no_key_of_this_server_opens_nothing(keys: Keys) -> None:
    made, text = keys.create(NewKey("a", ALL))
    other = Presented(made.id, "x" * 43)
    for shown in (
        "",
        made.id,
        text.secret,
        str(other),
        str(text)[:-1],
        str(text) + "x",
        f"quarry.{'0' * 16}.{'x' * 43}",
    ):
        with pytest.raises(UnauthenticatedError, match="is not one of this server's") as refused:
            keys.shown(shown)
        assert text.secret not in str(refused.value)


def test_a_revoked_key_opens_nothing_and_keys_stay_needed(keys: Keys, tmp_path: Path) -> None:
    made, text = keys.create(NewKey("a", ALL))
    revoked = keys.revoke(made.id)
    assert revoked.is_revoked
    assert keys.revoke(made.id) == revoked, "the first time counts"
    for each in (keys, Keys(tmp_path)):
        assert each.are_needed, "to revoke the last key opens nothing"
        assert each.listed() == [revoked]
        assert not each.holding
        with pytest.raises(UnauthenticatedError, match=f"{made.id} was revoked"):
            each.shown(str(text))
        with pytest.raises(UnauthenticatedError, match="is not one"):
            each.shown(str(Presented(made.id, "x" * 43)))
    with pytest.raises(KeyNotFoundError, match="'nobody'"):
        keys.revoke("nobody")


def test_the_configured_key_is_on_no_list_and_cannot_be_revoked(tmp_path: Path) -> None:
    keys = Keys(tmp_path, ADMIN)
    assert keys.are_needed
    assert keys.are_administered
    assert keys.shown(ADMIN).rights is ALL
    assert keys.listed() == []
    for wrong in ("", ADMIN[:-1], ADMIN + "x", ADMIN.upper()):
        with pytest.raises(UnauthenticatedError):
            keys.shown(wrong)
    with pytest.raises(KeyNotFoundError):
        keys.revoke(keys.shown(ADMIN).id)
    assert not (tmp_path / FILE).exists()
    with pytest.raises(UnauthenticatedError):
        Keys(tmp_path).shown(ADMIN)


@pytest.mark.parametrize(
    "rights",
    [
        Rights(frozenset({"query", "ingest"})),
        Rights(frozenset({"admin"}), frozenset({"docs"})),
    ],
)
def test_the_first_key_must_be_able_to_make_others_where_that_is_asked(keys: Keys, rights: Rights) -> None:
    with pytest.raises(KeyConflictError, match="scope admin"):
        keys.create(NewKey("a", rights), leaving_admin=True)
    assert not keys.are_needed
    keys.create(NewKey("a", rights))
    assert not keys.are_administered
    keys.create(NewKey("op", ALL), leaving_admin=True)
    keys.create(NewKey("b", rights), leaving_admin=True)


def test_the_last_key_that_makes_others_stays_where_that_is_asked(keys: Keys, tmp_path: Path) -> None:
    first, _ = keys.create(NewKey("one", ALL))
    second, _ = keys.create(NewKey("two", Rights(frozenset({"admin"}))))
    keys.revoke(first.id, leaving_admin=True)
    keys.revoke(first.id, leaving_admin=True)
    with pytest.raises(KeyConflictError, match=f"{second.id} is the last key"):
        keys.revoke(second.id, leaving_admin=True)
    assert keys.holding == [second]
    assert Keys(tmp_path, ADMIN).revoke(second.id, leaving_admin=True).is_revoked, "the configured key makes others"


def test_many_keys_are_refused_and_many_revoked_ones_forgotten(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_KEYS", 3)
    monkeypatch.setattr(keys_module, "MAX_REVOKED", 2)
    made = [keys.create(NewKey(str(n), ALL))[0] for n in range(3)]
    with pytest.raises(KeyConflictError, match="there are 3 keys, which is the limit"):
        keys.create(NewKey("d", ALL))
    for n, each in enumerate(made):
        keys.revoke(each.id)
        keys.create(NewKey(f"new {n}", ALL))
    assert [key.name for key in keys.listed()] == ["1", "2", "new 0", "new 1", "new 2"]
    assert len(keys.holding) == 3


def test_keys_made_and_revoked_on_many_threads_are_all_there(keys: Keys, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: keys.create(NewKey(f"key {n}", ALL)), range(40)))
        list(threads.map(lambda pair: keys.revoke(pair[0].id), made[::2]))
    again = Keys(tmp_path)
    assert {key.id for key in again.listed()} == {key.id for key, _ in made}
    assert {key.id for key in again.holding} == {key.id for key, _ in made[1::2]} == {key.id for key in keys.holding}
    for key, text in made[1::2]:
        assert again.shown(str(text)).id == key.id


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_the_old_keys(keys: Keys, tmp_path: Path, step: str) -> None:
    kept, text = keys.create(NewKey("kept", ALL))
    was = (tmp_path / FILE).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for change in (lambda: keys.create(NewKey("new", ALL)), lambda: keys.revoke(kept.id)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(KeysUnavailableError, match="cannot be written: No space left on device"):
                change()
        assert [path.name for path in tmp_path.iterdir()] == [FILE]
        assert (tmp_path / FILE).read_bytes() == was
        assert keys.shown(str(text)) == Keys(tmp_path).shown(str(text)) == kept
        assert keys.listed() == [kept]


@pytest.mark.parametrize(
    "damage",
    [
        lambda held: held.update(version=2),
        lambda held: held.update(more=1),
        lambda held: held.pop("keys"),
        lambda held: held["keys"][0].update(expires_at=1),
        lambda held: held["keys"][0].pop("collections"),
        lambda held: held["keys"][0].pop("filter"),
        lambda held: held["keys"][0].pop("revoked_at"),
        lambda held: held["keys"][0].update(filter={"type": "no"}),
        lambda held: held["keys"][0].update(scopes=["root"]),
        lambda held: held["keys"][0].update(sha256="00"),
        lambda held: held["keys"][0].update(id="../../etc"),
        lambda held: held["keys"][0]["limits"].update(burst=1),
        lambda held: held["keys"][0]["limits"].update(concurrency="many"),
        lambda held: held["keys"][0]["limits"].update(concurrency="2"),
        lambda held: held["keys"][0]["limits"].update(concurrency=-1),
        lambda held: held["keys"][0]["limits"].update(requests_per_minute=0),
        lambda held: held["keys"][0]["limits"].pop("tokens_per_minute"),
        lambda held: held["keys"][0].update(limits={}),
        lambda held: held["keys"][0].update(scopes=[]),
        lambda held: held["keys"][0].update(revoked_at="nan"),
        lambda held: held["keys"][0].update(revoked_at="1"),
        lambda held: held["keys"][0].update(revoked_at=-1.0),
        lambda held: held["keys"][0].update(created_at=1e300),
        lambda held: held["keys"][0].update(created_at=True),
        lambda held: held.pop("version"),
        lambda held: held.update(version="1"),
        lambda held: held.update(keys=[held["keys"][0] | {"revoked_at": 1.0}, held["keys"][0]]),
    ],
)
def test_a_damaged_file_lets_nobody_in(keys: Keys, tmp_path: Path, damage: Callable[[Any], object]) -> None:
    keys.create(NewKey("reader", READER))
    edited(tmp_path, damage)
    digest = keys.listed()[0].digest.hex()
    with pytest.raises(KeysUnavailableError, match=r"keys\.json is damaged \(.*\): put it back") as refused:
        Keys(tmp_path)
    assert digest not in str(refused.value)
    assert "_File" not in str(refused.value)


@pytest.mark.parametrize("written", [b'"revoked_at": null', b'"revoked_at": NaN', b'"scopes": ["admin"]', b'"id": "x"'])
def test_a_field_that_is_there_twice_is_damage(keys: Keys, tmp_path: Path, written: bytes) -> None:
    key, _ = keys.create(NewKey("reader", READER))
    keys.revoke(key.id)
    path = tmp_path / FILE
    held = path.read_bytes()
    for edge in (b'"name":', b'"limits":'):
        path.write_bytes(held.replace(edge, written + b"," + edge, 1))
        with pytest.raises(KeysUnavailableError, match="is damaged"):
            Keys(tmp_path)


def test_every_cut_and_many_a_flipped_byte_is_damage_or_says_the_same(keys: Keys, tmp_path: Path) -> None:
    keys.create(NewKey("reader", READER))
    whole = (tmp_path / FILE).read_bytes()
    for length in range(len(whole) - 1):
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(KeysUnavailableError):
            Keys(tmp_path)
    (tmp_path / FILE).write_bytes(b"\xff" + whole[1:])
    with pytest.raises(KeysUnavailableError):
        Keys(tmp_path)


def test_a_file_that_cannot_be_read_is_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "not mounted")
    with pytest.raises(KeysUnavailableError, match="cannot be read"):
        Keys(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(KeysUnavailableError, match="cannot be read"):
        Keys(tmp_path)
