"""A compose project as Compose reads it: files laid over each other, variables put in."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
GPU, CPU = ("compose.yaml",), ("compose.yaml", "compose.cpu.yaml")
# What a later file says of these stands alone; other sequences are joined.
_REPLACED = frozenset({"command", "entrypoint", "test"})
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


class _Reset:
    """`!reset`: what earlier files say here is gone."""


class _Loader(yaml.SafeLoader):
    """Of the files, with the tag that Compose adds to YAML."""


_Loader.add_constructor("!reset", lambda *_: _Reset())


def project(files: Sequence[str], variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the files come to; a variable without a value takes its default."""
    merged: Any = {}
    for file in files:
        merged = _over(merged, yaml.load((FOLDER / file).read_text(), _Loader))  # noqa: S506  a SafeLoader
    found: dict[str, Any] = _put_in(merged, variables or {})
    return found


def defaults() -> set[tuple[str, str]]:
    """Every variable that the files name, with its default."""
    return {found for file in CPU for found in _VARIABLE.findall((FOLDER / file).read_text())}


def _over(below: Any, above: Any, name: str = "") -> Any:  # noqa: ANN401  any YAML
    if isinstance(below, dict) and isinstance(above, dict):
        merged = {**below, **{key: _over(below.get(key), value, key) for key, value in above.items()}}
        return {key: value for key, value in merged.items() if not isinstance(value, _Reset)}
    if isinstance(below, list) and isinstance(above, list) and name not in _REPLACED:
        return [*below, *above]
    return above


def _put_in(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401  as above
    if isinstance(value, dict):
        return {key: _put_in(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_put_in(each, variables) for each in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1]) or found[2], value)
    return value
