"""A whole bundle: `make test-bundle` makes one and names it by ``BUNDLE``."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

NODE = Path(__file__).with_name("offline.py")
PATIENCE_S = 1500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_S)]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundle."""
    file = os.environ.get("BUNDLE")
    if not file:
        pytest.skip("BUNDLE names none: make test-bundle makes one")
    folder = tmp_path_factory.mktemp("node")
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")
    (bundle,) = folder.iterdir()
    return bundle


def without_network() -> list[str]:
    """A command that runs another in a network namespace where there is nothing."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is missing: Debian's package util-linux has it")
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--user", "--map-root-user", "--net"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"the system allows no empty network namespace: {tried.stderr.strip()}")
    return command


def test_it_is_installed_and_answers_where_there_is_no_network(unpacked: Path, tmp_path: Path) -> None:
    # Nothing of this process: no package, no model, no setting and no cache.
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(tmp_path), "PYTHON": sys._base_executable}  # type: ignore[attr-defined]
    command = [*without_network(), sys.executable, "-I", str(NODE), str(unpacked), str(tmp_path / "quarry")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["interfaces"] == ["lo"]
    assert told["installed"] == f"{tmp_path / 'quarry'}/bin/quarry is installed\n"
    assert told["ended"] == 0
    answer = told["answer"]
    assert "blue valve" in answer["answer"]
    assert {citation["document_id"] for citation in answer["citations"]} == {"pump.txt"}


def test_a_changed_byte_in_a_wheel_is_named_and_nothing_installed(unpacked: Path, tmp_path: Path) -> None:
    wheel = max((unpacked / "wheels").iterdir(), key=lambda path: path.stat().st_size)
    place = wheel.stat().st_size // 2
    with wheel.open("r+b") as stream:
        stream.seek(place)
        (byte,) = stream.read(1)
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))
        stream.flush()
        command = [str(unpacked / "install.sh"), str(tmp_path / "quarry")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        stream.seek(place)
        stream.write(bytes([byte]))
    assert done.returncode == 1
    assert f"wheels/{wheel.name}: FAILED" in done.stderr
    assert not (tmp_path / "quarry").exists()


def test_every_distribution_is_in_the_sbom_and_among_the_licences(unpacked: Path) -> None:
    for environment in (unpacked / "environments").iterdir():
        text = (environment / "sbom.cdx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        pinned = [line.split()[0] for line in (environment / "requirements.txt").read_text().splitlines()]
        assert [each["bom-ref"] for each in json.loads(text)["components"]] == pinned
        licences = (environment / "THIRD_PARTY_LICENSES.txt").read_text()
        assert all(f"\n{each.replace('==', ' ')}: " in licences for each in pinned)


def test_its_wheels_are_those_that_its_environments_name(unpacked: Path) -> None:
    listed = {
        line.rpartition("sha256:")[2]
        for environment in (unpacked / "environments").iterdir()
        for line in (environment / "requirements.txt").read_text().splitlines()
    }
    sums = dict(line.split("  ")[::-1] for line in (unpacked / "SHA256SUMS").read_text().splitlines())
    assert {digest for name, digest in sums.items() if name.startswith("wheels/")} == listed
