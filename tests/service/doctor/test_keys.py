"""What quarry doctor says of keys."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from indexes.data_directory import owned
from service.access.key import new_secret
from service.access.keys import Keys, NewKey
from service.access.rights import ALL, Rights
from service.doctor.check import Finding, Status
from service.doctor.keys import look_at_keys
from service.doctor.running_server import RunningServer
from service.settings import Settings

Failed = Callable[[Iterable[Finding]], Finding]
ADMIN = "a-key-of-an-operator-with-40-characters!"


def found(data_dir: Path, **settings: object) -> list[Finding]:
    return list(look_at_keys(Settings(data_dir=data_dir, **settings)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_a_loopback_address_needs_none(tmp_path: Path, host: str) -> None:
    (finding,) = found(tmp_path / "absent", server={"host": host})
    assert (finding.status, finding.found) == (
        Status.OK,
        f"none are needed: nobody but this machine reaches {host}",
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "quarry.example"])
def test_an_address_that_others_reach_does(tmp_path: Path, failed: Failed, host: str) -> None:
    finding = failed(found(tmp_path, server={"host": host}))
    assert f"server.host is {host!r}" in finding.found
    assert "quarry keys create" in finding.advice
    (configured,) = found(tmp_path, server={"host": host}, access={"admin_key": ADMIN})
    assert (configured.status, "access.admin_key" in configured.found) == (Status.OK, True)
    assert ADMIN not in configured.found


def test_a_name_that_others_call_it_by_does(tmp_path: Path, failed: Failed) -> None:
    finding = failed(found(tmp_path, server={"hosts": ["quarry.example"]}))
    assert "server.hosts is quarry.example" in finding.found
    (private,) = found(tmp_path, server={"hosts": ["quarry.localhost"]})
    assert private.status == Status.OK


def test_keys_are_counted_and_their_file_is_private(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    first, _ = keys.create(NewKey("a", ALL))
    keys.create(NewKey("b", ALL))
    keys.revoke(first.id)
    needed, private = found(tmp_path, server={"host": "0.0.0.0"})
    assert (needed.status, private.status) == (Status.OK, Status.OK)
    assert needed.found == "needed for every request: 1 of 2 hold"
    (tmp_path / "keys.json").chmod(0o640)
    _, private = found(tmp_path)
    assert (private.status, private.advice) == (Status.WARNING, f"chmod 600 {tmp_path / 'keys.json'}")
    assert "mode 640" in private.found


def test_keys_that_nobody_administers_are_a_warning(tmp_path: Path) -> None:
    Keys(tmp_path).create(NewKey("a", Rights(frozenset({"query"}))))
    needed, _ = found(tmp_path)
    assert needed.status is Status.WARNING
    assert "none may make and revoke keys" in needed.found
    needed, _ = found(tmp_path, access={"admin_key": ADMIN})
    assert needed.status is Status.OK


def test_a_damaged_file_is_a_failure(tmp_path: Path, failed: Failed) -> None:
    (tmp_path / "keys.json").write_text("[]")
    assert "is damaged" in failed(found(tmp_path)).found


def test_a_running_server_is_asked_with_the_key(listening: Callable[..., str], tmp_path: Path) -> None:
    url, data_dir = listening(access={"admin_key": ADMIN}), tmp_path / "served"
    server = RunningServer.looked_for(data_dir, url, ADMIN)
    assert [finding.status for finding in server.findings()] == [Status.OK]
    assert server.embedders()
    for key in (None, "", "wrong", str(new_secret())):
        stranger = RunningServer.looked_for(data_dir, url, key)
        (finding,) = stranger.findings()
        assert finding.status is Status.WARNING
        assert "401 Unauthorized" in finding.found
        assert "QUARRY_KEY" in finding.advice
        assert stranger.embedders() is None


def test_a_key_without_the_scope_is_a_warning(tmp_path: Path, model_server: Callable[..., str]) -> None:
    with owned(tmp_path):
        (finding,) = RunningServer.looked_for(tmp_path, model_server(status=403), "k").findings()
    assert finding.status is Status.WARNING
    assert "403 Forbidden" in finding.found
    with owned(tmp_path):
        (finding,) = RunningServer.looked_for(tmp_path, "http://127.0.0.1:9", "k\ney").findings()
    assert finding.status is Status.WARNING
