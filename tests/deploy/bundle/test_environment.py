"""An environment of a bundle: requirements, needs, licences and SBOM."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.bundle.environment import Environment
from deploy.bundle.errors import BundleError
from deploy.bundle.licences import third_party_licences
from deploy.bundle.sbom import sbom
from tiny_wheels import tiny_wheel

MIT = "Permission is hereby granted."
# The root with its extra `gpu` asks for b, and for its extra `fast`, which asks for c; d is there for nobody.
METADATA = {
    "a": [
        "License-Expression: Apache-2.0",
        "Requires-Dist: b[fast]>=1; extra == 'gpu'",
        "Requires-Dist: d; extra == 'dev'",
        "Requires-Dist: d; python_version < '3.12'",
        "Requires-Dist: d; sys_platform == 'win32'",
        "Requires-Dist: not-there; extra == 'gpu'",
        "Provides-Extra: gpu",
        "Provides-Extra: dev",
    ],
    "b": ["License: A licence of their own", "Requires-Dist: c; extra == 'fast'", "Provides-Extra: fast"],
    "c": [],
    "d": ["License-Expression: MIT"],
}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    texts = {"b": {"LICENSE": MIT}, "d": {"LICENSE": MIT, "NOTICE": "Note."}}
    tags = {"b": "cp312-cp312-manylinux_2_31_x86_64", "d": "cp312-cp312-manylinux_2_28_x86_64"}
    for name, metadata in METADATA.items():
        tiny_wheel(tmp_path, name, metadata, {}, texts.get(name), tags.get(name, "py3-none-any"))
    return Environment.of_folder("quarry", "3.12", "a[gpu]", tmp_path)


def test_requirements_have_the_hashes_of_the_wheels(environment: Environment) -> None:
    assert environment.requirements().splitlines() == [
        f"{wheel.name}==1.0 --hash=sha256:{wheel.sha256}" for wheel in environment.wheels
    ]


def test_its_needs_are_those_of_the_most_demanding_wheel(environment: Environment) -> None:
    needs = dict(line.split("=") for line in environment.needs().splitlines())
    assert (needs["needs_python"], needs["needs_glibc"]) == ("3.12", "2.31")
    assert int(needs["needs_kib"]) > sum(wheel.installed_bytes for wheel in environment.wheels) // 1024


def test_two_versions_of_one_distribution_are_refused(tmp_path: Path) -> None:
    tiny_wheel(tmp_path, "a")
    tiny_wheel(tmp_path, "a", tag="cp311-none-any")
    with pytest.raises(BundleError, match=r"quarry has both a-1\.0-cp311-none-any\.whl and a-1\.0-py3-none-any\.whl"):
        Environment.of_folder("quarry", "3.11", "a", tmp_path)


def test_every_licence_is_told_and_every_text_is_there_once(environment: Environment) -> None:
    text = third_party_licences(environment.wheels)
    assert "\na 1.0: Apache-2.0 (comes without a text)\n" in text
    assert "\nb 1.0: A licence of their own\n" in text
    assert "\nc 1.0: states no licence (comes without a text)\n" in text
    assert text.count(MIT) == 1
    assert "d 1.0: LICENSE" in text
    assert "As b 1.0: LICENSE" in text
    assert "Note." in text


def test_the_sbom_is_valid_and_says_what_each_asks_for(environment: Environment) -> None:
    text = sbom(environment, "bundle", epoch=1_000_000_000)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    told = json.loads(text)
    components = {each["name"]: each for each in told["components"]}
    for wheel in environment.wheels:
        assert components[wheel.name]["hashes"] == [{"alg": "SHA-256", "content": wheel.sha256}]
        assert components[wheel.name]["purl"] == f"pkg:pypi/{wheel.name}@1.0"
    assert components["a"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert components["b"]["licenses"] == [{"license": {"name": "A licence of their own"}}]
    asked = {each["ref"]: each.get("dependsOn", []) for each in told["dependencies"]}
    assert asked == {
        "quarry": ["a==1.0", "d==1.0"],
        "a==1.0": ["b==1.0"],
        "b==1.0": ["c==1.0"],
        "c==1.0": [],
        "d==1.0": [],
    }


def test_the_sbom_of_the_same_wheels_is_the_same(environment: Environment) -> None:
    assert sbom(environment, "bundle", 1_000_000_000) == sbom(environment, "bundle", 1_000_000_000)
