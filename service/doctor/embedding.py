"""The models: are they here, do they load, where do they run, and do they fit what is stored?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from indexes.errors import StoreUnavailableError
from indexes.spec import CollectionSpec
from indexes.stored_specs import stored_specs
from models.base import EmbedderInfo, ModelError, TextKind, TokenPair
from models.cross_encoder import CrossEncoderReranker
from models.device import choose_device
from models.loading import find_cross_encoder, find_model
from models.transformer import TransformerEmbedder
from service.doctor.check import Finding, failure, ok, warning
from service.doctor.running_server import RunningServer
from service.settings import Settings

_TEXT = "Is anybody there?"
_NAME_A_FOLDER = "name a folder with safetensors weights, or copy the model there: nothing is downloaded"


def look_at_models(settings: Settings, server: RunningServer) -> Iterator[Finding]:
    """Every model of the settings, then the collections they are to serve."""
    served = server.embedders()
    if served is None:
        served = []
        for name in (settings.embedding.model, *settings.embedding.also):
            yield from _embedder(name, settings, served)
    else:
        for info in served:
            yield ok(f"embedder {info.name}", f"the running server has it on {info.device}, {_form(info)}")
    if settings.rerank.model and server.status is None:
        yield from _reranker(settings.rerank.model, settings)
    yield from _collections(settings.data_dir, served)


def _embedder(name: str, settings: Settings, loaded: list[EmbedderInfo]) -> Iterator[Finding]:
    """One that is here is loaded, run on one text, and joins ``loaded``."""
    title, wanted = f"embedder {Path(name).name}", settings.embedding
    try:
        folder = find_model(name)
        yield ok(title, f"found in {folder}, with safetensors weights")
        model = TransformerEmbedder.load(name, device=wanted.device, dtype=wanted.dtype, threads=wanted.threads)
        vectors = model.embed(model.tokenize([_TEXT], TextKind.QUERY))
    except ModelError as error:
        yield failure(title, f"{type(error).__name__}: {error}", _NAME_A_FOLDER)
        return
    loaded.append(model.info)
    ran = f"a forward gave {vectors.shape[1]} numbers on {model.info.device}, {_form(model.info)}"
    yield ok(title, ran)


def _reranker(name: str, settings: Settings) -> Iterator[Finding]:
    title, wanted = f"reranker {Path(name).name}", settings.embedding
    try:
        folder = find_cross_encoder(name)
        model = CrossEncoderReranker.load(name, device=wanted.device, dtype=wanted.dtype, threads=wanted.threads)
        pairs: list[TokenPair] = model.tokenize(_TEXT, [_TEXT])
        model.score(pairs)
    except ModelError as error:
        yield failure(title, f"{type(error).__name__}: {error}", _NAME_A_FOLDER)
        return
    yield ok(title, f"found in {folder}; a forward ran on {model.info.device}, {model.info.dtype}")


def _collections(data_dir: Path, embedders: Sequence[EmbedderInfo]) -> Iterator[Finding]:
    try:
        specs = stored_specs(data_dir)
    except StoreUnavailableError as error:
        yield failure("collections", str(error), "quarry restore takes a backup up again")
        return
    for name, spec in specs.items():
        yield _fit(f"collection {name}", spec, embedders)
    if not specs:
        yield ok("collections", f"there are none in {data_dir} yet")


def _fit(title: str, spec: CollectionSpec, embedders: Sequence[EmbedderInfo]) -> Finding:
    """Whether an embedder is served that made the vectors."""
    stored = f"{spec.dimension} dimensions by {spec.embedding_model!r} ({spec.fingerprint[:12]})"
    if any(info.fingerprint == spec.fingerprint for info in embedders):
        return ok(title, f"its vectors have {stored}, which is served")
    advice = f"name {spec.embedding_model!r} in embedding.model or embedding.also, or re-embed the collection"
    same = next((info for info in embedders if info.name == spec.embedding_model), None)
    if same is None:
        return failure(title, f"its vectors have {stored}, which is not served", advice)
    if same.dimension != spec.dimension:
        return failure(title, f"its vectors have {stored}; the one that is served has {same.dimension}", advice)
    return failure(title, f"its vectors have {stored}; the one served is another model of that name", advice)


def _form(info: EmbedderInfo) -> str:
    return f"{info.dtype}, {info.forward}"


def look_at_device(settings: Settings, gpus: int) -> Iterator[Finding]:
    """Whether a GPU that is there would be left alone."""
    try:
        chosen = choose_device(settings.embedding.device)
    except ModelError as error:
        yield failure("embedding.device", str(error), "name a device that is there, or auto")
        return
    if chosen == "cpu" and gpus and settings.embedding.device == "auto":
        found = f"the models run on the CPU although the driver sees {gpus} GPU(s)"
        yield warning("embedding.device", found, "install a build of PyTorch with CUDA: pip install '.[cuda]'")
    else:
        yield ok("embedding.device", f"{settings.embedding.device} is {chosen}")
