"""What a bundle reads of a wheel."""

import hashlib
from pathlib import Path

import pytest

from deploy.bundle.errors import BundleError
from deploy.bundle.wheel import Wheel
from tiny_wheels import tiny_wheel

# setuptools has the metadata of others inside its own package.
FILES = {"a_b.py": "x = 1\n", "a_b/_vendor/c-1.0.dist-info/METADATA": "Name: c\n"}


def test_a_wheel(tmp_path: Path) -> None:
    texts = {"licenses/LICENSE": "Do.", "licenses/vendored/x.txt": "Too.", "COPYING.LESSER": "Less."}
    path = tiny_wheel(tmp_path, "a_b", ["License-Expression: MIT"], FILES, texts | {"top_level.txt": "a_b"})
    wheel = Wheel.read(path)
    assert (wheel.name, str(wheel.version), wheel.glibc, wheel.licence) == ("a-b", "1.0", (0, 0), "MIT")
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.licence_texts == texts
    assert wheel.installed_bytes > len("x = 1\n")


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        (["License: MIT", "License-Expression: Apache-2.0"], "Apache-2.0"),
        (["License: BSD", "Classifier: License :: OSI Approved :: MIT License"], "BSD"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (["License: Permission is", "  hereby", "Classifier: License :: OSI Approved"], ""),
        ([], ""),
    ],
)
def test_the_licence_that_it_states(tmp_path: Path, metadata: list[str], licence: str) -> None:
    assert Wheel.read(tiny_wheel(tmp_path, "a", metadata)).licence == licence


@pytest.mark.parametrize(
    ("tag", "glibc"),
    [
        ("cp311-cp311-manylinux_2_28_x86_64", (2, 28)),
        ("cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64", (2, 17)),
        ("cp311-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64", (2, 27)),
        ("py3-none-manylinux1_x86_64", (2, 5)),
        ("cp311-cp311-linux_x86_64", (0, 0)),
    ],
)
def test_the_glibc_that_it_needs(tmp_path: Path, tag: str, glibc: tuple[int, int]) -> None:
    assert Wheel.read(tiny_wheel(tmp_path, "a", tag=tag)).glibc == glibc


def test_what_is_no_wheel_is_named(tmp_path: Path) -> None:
    for name in ("a-1.0.tar.gz", "a-1.0-py3-none-any.whl"):
        (tmp_path / name).write_text("no zip")
        with pytest.raises(BundleError, match=name):
            Wheel.read(tmp_path / name)
