"""PlanInput: what ``quarry plan`` was given, and the node it means."""

from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args

from models.loading import BUNDLED_MODEL
from service.capacity.card_index import Refine
from service.capacity.configuration import node_of
from service.capacity.embedder import Embedder
from service.capacity.errors import CapacityError, SizeError
from service.capacity.language_model import LanguageModel
from service.capacity.model_server import ModelServer
from service.capacity.node import Node, Retrieval
from service.capacity.size import bytes_of, count_of
from service.cli.configuration import settings_or_fail
from service.llm_settings import LlmSettings, ManagedSettings
from service.settings import Settings

CONTEXT, SEQUENCES = 8192, 64
_FLOAT8 = "fp8"
_SOCKETS = Path("quarry-data", "run")  # where settings.py has them
_REFINE: tuple[Refine, ...] = get_args(Refine)
_LONGEST_VECTOR, _MOST_ROWS = 65_536, 10**12
_LEAST_CONTEXT, _MOST_CONTEXT, _MOST_SEQUENCES = 512, 1 << 24, 65_536


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What is said of models on the command line; a file of settings says it otherwise."""

    llm: tuple[Path, ...] = ()
    context: str | None = None
    max_num_seqs: str | None = None
    dtype: str | None = None
    kv_dtype: str | None = None
    quantization: str | None = None
    weights_bytes: str | None = None
    embedder: str | None = None


@dataclass(frozen=True, slots=True)
class PlanInput:
    """The options as they were written."""

    gpu_memory: str
    gpus: str
    rows: str | None
    dim: str | None
    refine: str
    models: ModelInput
    config: Path | None

    def node(self) -> Node:
        """What is to be planned.

        Raises:
            CapacityError: a value is none, or a model cannot be read; the message names it.
        """
        card_bytes, cards = bytes_of(self.gpu_memory, "--gpu-memory"), count_of(self.gpus, "--gpus")
        rows = None if self.rows is None else _limited(self.rows, "--rows", 1, _MOST_ROWS)
        dimension = None if self.dim is None else _limited(self.dim, "--dim", 1, _LONGEST_VECTOR)
        if self.config is not None:
            node = node_of(self._settings(), card_bytes, cards, rows, dimension)
        else:
            embedder = Embedder.read(self.models.embedder or BUNDLED_MODEL)
            retrieval = Retrieval((embedder,), None, rows, dimension or embedder.dimension)
            node = Node(card_bytes, cards, retrieval, _servers(self.models))
        return replace(node, retrieval=replace(node.retrieval, refine=_refine(self.refine)))

    def _settings(self) -> Settings:
        for field in fields(self.models):
            if getattr(self.models, field.name):
                option = "--" + field.name.replace("_", "-")
                raise CapacityError(f"{option} is for models of the command line: with --config the file says it")
        return settings_or_fail(self.config)


def _servers(given: ModelInput) -> tuple[ModelServer, ...]:
    weights = None if given.weights_bytes is None else bytes_of(given.weights_bytes, "--weights-bytes")
    if weights is not None and len(given.llm) != 1:
        raise CapacityError(f"--weights-bytes is of one model, and --llm names {len(given.llm)}")
    models = [LanguageModel.read(path, given.dtype or "auto", weights) for path in given.llm]
    repeated = [name for name, count in Counter(model.name for model in models).items() if count > 1]
    if repeated:
        raise CapacityError(f"--llm: two models would be served as {repeated[0]!r}: give them different names")
    return tuple(_server(model, given) for model in models)


def _server(model: LanguageModel, given: ModelInput) -> ModelServer:
    context = _context(model, given.context)
    sequences = SEQUENCES
    if given.max_num_seqs is not None:
        sequences = _limited(given.max_num_seqs, "--max-num-seqs", 1, _MOST_SEQUENCES)
    arguments = () if given.dtype in {None, "auto"} else ("--dtype", str(given.dtype))
    managed = ManagedSettings(weights=model.folder, max_num_seqs=sequences, args=arguments)
    settings = LlmSettings(model=model.name, context=context, managed=managed)
    server = ModelServer(model, settings, f"unix://{_SOCKETS.absolute() / model.name}.sock", context, sequences)
    if given.quantization is not None:
        server = _quantized(server, given.quantization)
    if given.kv_dtype in {None, "auto"}:
        return server
    return server.with_cache_in(str(given.kv_dtype))


def _quantized(server: ModelServer, wanted: str) -> ModelServer:
    if wanted != _FLOAT8:
        raise CapacityError(f"--quantization is {wanted!r}: vLLM makes {_FLOAT8} as it loads; others are in the files")
    changed = server.in_float8()
    if changed is None:
        raise CapacityError(
            f"--quantization {_FLOAT8}: {server.name} is quantised already, or its weights are not known"
        )
    return changed


def _context(model: LanguageModel, given: str | None) -> int:
    most = model.architecture.positions or _MOST_CONTEXT
    if given is None:
        return max(_LEAST_CONTEXT, min(CONTEXT, most))
    return _limited(given, "--context", _LEAST_CONTEXT, most, f" that {model.name} was made for")


def _limited(text: str, name: str, least: int, most: int, why: str = "") -> int:
    value = count_of(text, name)
    if not least <= value <= most:
        raise SizeError(f"{name} is {value}: between {least} and the {most}{why} are taken")
    return value


def _refine(given: str) -> Refine:
    for known in _REFINE:
        if given == known:
            return known
    raise CapacityError(f"--refine is {given!r}: known are {', '.join(_REFINE)}")
