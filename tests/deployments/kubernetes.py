"""Kubernetes manifests as kustomize builds them, as far as ours ask it to."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from deployments.systemd import variables

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
BASE, CPU, OPERATOR, REPLICAS = (FOLDER / name for name in ("base", "cpu", "prometheus-operator", "replicas"))
_KNOWN = {"apiVersion", "kind", "resources", "configMapGenerator", "patches"}

Resource = dict[str, Any]


def build(folder: Path) -> list[Resource]:
    """What `kubectl kustomize` makes of it, but for the hash behind the names of generated maps."""
    asked = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(asked) <= _KNOWN, f"{folder} asks for what this does not do"
    built: list[Resource] = []
    for name in asked["resources"]:
        path = folder / name
        built += build(path) if path.is_dir() else read(path)
    built += [_map(folder, **wanted) for wanted in asked.get("configMapGenerator", [])]
    for patch in asked.get("patches", []):
        targets = [one for one in built if _is(one, **patch["target"])]
        assert targets, f"{folder} patches {patch['target']}, which is not there"
        for target in targets:
            _apply(target, yaml.safe_load(patch["patch"]))
    return built


def read(path: Path) -> list[Resource]:
    """The resources of one file."""
    return list(yaml.safe_load_all(path.read_text()))


def one(resources: Sequence[Resource], kind: str, name: str = "quarry") -> Resource:
    """The only one of this kind and name."""
    (found,) = (each for each in resources if _is(each, kind, name))
    return found


def _is(resource: Resource, kind: str, name: str) -> bool:
    return resource["kind"] == kind and resource["metadata"]["name"] == name


def _map(folder: Path, name: str, namespace: str, files: Sequence[str] = (), envs: Sequence[str] = ()) -> Resource:
    data = {file: (folder / file).read_text() for file in files}
    for file in envs:
        data |= variables(folder / file)
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _apply(resource: Resource, operations: Sequence[Resource]) -> None:
    """Replace what is there already, or add what is not; kustomize refuses anything else."""
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        at: Any = resource
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        value = deepcopy(operation["value"])
        if last == "-":
            assert operation["op"] == "add"
            at.append(value)
        else:
            assert operation["op"] == ("replace" if last in at else "add")
            at[last] = value
