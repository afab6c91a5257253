"""The units, by systemd's own tool, and what they run, run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployments.systemd import BACKUP, FOLDER, SERVER, command, directives

UNITS = [SERVER, BACKUP, "quarry-backup.timer"]
# Of 10, by `systemd-analyze security` of version 252.
MOST_EXPOSED = {SERVER: 2.0, BACKUP: 1.5}
QUARRY = "/opt/quarry/bin"


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: Debian's package systemd has it")
    words = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which what the units run is there."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(FOLDER / unit, units)
    for program in (f"{QUARRY}/quarry", f"{QUARRY}/python", "/bin/sh"):
        path = tmp_path / program.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


def test_systemd_takes_every_line_of_them(root: Path) -> None:
    verified = analyze("verify", "--root", root, "--recursive-errors=no", "--man=no", *UNITS)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", [SERVER, BACKUP])
def test_a_directive_that_is_none_is_told(unit: str, root: Path) -> None:
    with (root / "etc" / "systemd" / "system" / unit).open("a") as file:
        file.write("\n[Service]\nInventedDirective=yes\n")
    told = analyze("verify", "--root", root, "--recursive-errors=no", "--man=no", unit)
    assert "InventedDirective" in told.stdout + told.stderr


@pytest.mark.parametrize("unit", [SERVER, BACKUP])
def test_they_expose_little(unit: str) -> None:
    threshold = int(MOST_EXPOSED[unit] * 10)
    judged = analyze("security", "--offline=true", f"--threshold={threshold}", "--no-pager", FOLDER / unit)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "Overall exposure level" in judged.stdout


def test_the_server_ends_in_order_and_is_started_again_unless_it_cannot_serve() -> None:
    unit = directives(SERVER)
    assert unit["KillMode"] == ["mixed"]
    assert unit["Restart"] == ["on-failure"]
    assert directives(SERVER, "Unit")["StartLimitBurst"] == ["5"]
    assert "MemoryMax" not in unit


def test_what_the_service_needs_is_not_taken_from_it() -> None:
    unit = directives(SERVER)
    assert unit["RestrictNamespaces"] == ["user net"]
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= set(
        unit["SystemCallFilter"][0].split()
    )
    assert unit["DeviceAllow"] == ["char-nvidia* rw"]
    assert not {"PrivateDevices", "MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork"} & set(unit)


def test_both_run_as_the_user_that_is_made_and_read_one_key() -> None:
    assert re.search(r"^u quarry ", (FOLDER / "sysusers.conf").read_text(), re.MULTILINE)
    for unit in (SERVER, BACKUP):
        assert directives(unit)["User"] == ["quarry"]
        assert directives(unit)["LoadCredential"] == ["admin-key:/etc/quarry/admin-key"]
        assert directives(unit)["EnvironmentFile"] == ["/etc/quarry/quarry.env"]


def test_a_start_is_waited_for_no_longer_than_the_server_lives(tmp_path: Path) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    environment = {**os.environ, "MAINPID": str(gone.pid), "QUARRY_SERVER__PORT": "9"}
    words = command(SERVER, "ExecStartPost", {f"{QUARRY}/python": str(python)})
    ended = subprocess.run(words, env=environment, capture_output=True, timeout=300, check=False)
    assert ended.returncode == 1


def test_a_backup_is_asked_for_with_the_key_in_the_environment(tmp_path: Path) -> None:
    said = tmp_path / "said"
    (tmp_path / "admin-key").write_text("the-key\n")
    quarry = tmp_path / "quarry"
    quarry.write_text(f'#!/bin/sh\necho "$QUARRY_KEY" "$@" > {said}\n')
    quarry.chmod(0o755)
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path), "QUARRY_SERVER__PORT": "8081"}
    words = command(BACKUP, "ExecStart", {f"{QUARRY}/quarry": str(quarry)})
    assert "the-key" not in " ".join(words)
    subprocess.run(words, env=environment, timeout=300, check=True)
    name = r"timer-\d{4}-\d\d-\d\dT\d{6}Z"
    assert re.fullmatch(rf"the-key backup {name} --url http://127\.0\.0\.1:8081\n", said.read_text())


def test_old_backups_of_the_timer_go_and_no_others(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    folders = [f"timer-2026-11-{day:02}T023000Z" for day in range(1, 11)] + ["before-upgrade"]
    for folder in folders:
        (backups / folder).mkdir(parents=True)
        (backups / folder / "manifest.json").touch()
    words = command(BACKUP, "ExecStartPost")
    keep = dict(value.split("=") for value in directives(BACKUP)["Environment"])["KEEP"]
    environment = {**os.environ, "KEEP": keep, "QUARRY_DATA_DIR": str(tmp_path)}
    subprocess.run(words, env=environment, timeout=300, check=True)
    assert sorted(path.name for path in backups.iterdir()) == sorted(["before-upgrade", *folders[3:10]])
