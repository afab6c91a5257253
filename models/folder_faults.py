"""What is wrong with a model folder that cannot be read: whatever libraries raise over it, as a typed error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from models.base import ModelError, UnsupportedModelError
from models.device import fault_of


@contextmanager
def typed_faults(folder: Path, device: str) -> Iterator[None]:
    """Turn what libraries raise over ``folder`` into UnsupportedModelError, naming the broken file where one is."""
    try:
        yield
    except ModelError:
        raise
    # Four libraries read the folder and raise what they like; tokenizers raises bare Exception.
    except Exception as error:
        fault = fault_of(error, device)
        if fault is not None:
            raise fault from None
        blame = broken_file(folder) or f"{type(error).__name__}: {error}"
        raise UnsupportedModelError(f"{folder} cannot be loaded: {blame}") from error


def broken_file(folder: Path) -> str | None:
    """The first file below ``folder`` that cannot be read as what its name says, and why; None where all can."""
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            return f"{path.relative_to(folder)} is not JSON: {error}"
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            return f"{path.relative_to(folder)} is cut short or corrupt: {error}"
    return _missing_file(folder)


def _missing_file(folder: Path) -> str | None:
    modules_json = folder / "modules.json"
    modules = json.loads(modules_json.read_bytes()) if modules_json.is_file() else []
    if not isinstance(modules, list):
        return "modules.json is not a list of modules"
    listed = [module.get("path", "") for module in modules if isinstance(module, dict)]
    for path in [*listed, *_shards(folder)]:
        if not (folder / str(path)).exists():
            return f"{path} is missing"
    configs = [f"{path}/config.json".lstrip("/") for path in listed if not str(path).endswith("Normalize")]
    return next((f"{config} is missing" for config in configs if not (folder / config).is_file()), None)


def _shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    weights = json.loads(index.read_bytes())
    files = weights.get("weight_map", {}) if isinstance(weights, dict) else {}
    return sorted(set(files.values())) if isinstance(files, dict) else []
