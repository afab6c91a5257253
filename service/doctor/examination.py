"""Every check of one installation, in the order in which they are made."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from indexes.errors import StoreUnavailableError
from indexes.gpu_probe import capabilities
from indexes.stored_specs import stored_specs
from service.doctor.accelerators import look_at_faiss, look_at_gpus
from service.doctor.check import Check, Finding, Status
from service.doctor.clock import look_at_clock
from service.doctor.content import look_at_content
from service.doctor.disk import look_at_disk
from service.doctor.embedding import look_at_device, look_at_models
from service.doctor.keys import look_at_keys
from service.doctor.language_model import look_at_llm
from service.doctor.limits import look_at_files, look_at_mappings, look_at_memory
from service.doctor.managed_server import VERSION_S, look_at_managed
from service.doctor.parsing import look_at_parsing
from service.doctor.processor import look_at_processor
from service.doctor.running_server import RunningServer
from service.doctor.sockets import look_at_socket
from service.file_shares import most_mappings
from service.llm_settings import LlmSettings
from service.settings import Settings
from service.telemetry.gpu import GpuState
from service.telemetry.nvml import open_gpus

_SCHEME = "unix://"
# Loading a large model, comparing its forms and measuring them takes minutes on a small machine.
_MODELS_S = 900.0
_LLM_S = 40.0
_PARSERS_S = 70.0


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        findings: in the order of the checks.
    """

    findings: Sequence[Finding]

    @property
    def is_well(self) -> bool:
        """Nothing has failed; there may be warnings."""
        return not any(finding.status is Status.FAILURE for finding in self.findings)


def examine(settings: Settings, url: str | None = None, key: str | None = None) -> Examination:
    """Make every check; bounded in time, and never raises.

    Args:
        url: of the server that may have the data directory; None takes where the settings would have it listen.
        key: to show to it.
    """
    where = url or f"http://{settings.server.host}:{settings.server.port}"
    server = RunningServer.looked_for(settings.data_dir, where, key)
    return Examination([finding for check in _checks(settings, server) for finding in check.made()])


def _checks(settings: Settings, server: RunningServer) -> Iterator[Check]:
    yield Check("clock", look_at_clock)
    yield Check("processor", look_at_processor)
    yield Check("memory", look_at_memory)
    yield Check("open files", lambda: look_at_files(settings, _collections(settings.data_dir)))
    yield Check("mapped files", lambda: look_at_mappings(_collections(settings.data_dir), most_mappings()))
    yield Check("disk", partial(look_at_disk, settings.data_dir), 30.0)
    if settings.content.rules is not None:
        yield Check("content.rules", partial(look_at_content, settings.content.rules))
    yield Check("parsers", look_at_parsing, _PARSERS_S)
    yield Check("keys", partial(look_at_keys, settings))
    yield Check("server", server.findings)
    yield Check("gpu", lambda: look_at_gpus(_gpus(), [settings.embedding.device, settings.index.device]))
    yield Check("faiss", lambda: look_at_faiss(settings, capabilities()))
    yield Check("embedding.device", lambda: look_at_device(settings, len(_gpus().gpus)), 60.0)
    yield Check("models", partial(look_at_models, settings, server), _MODELS_S)
    for name, llm in settings.llm.items():
        if llm.managed:
            yield Check(f"llm {name} command", partial(look_at_managed, name, llm.managed), VERSION_S + 10)
        for where in settings.llm_urls(name):
            yield from _checks_of_server(name, llm, where)


def _checks_of_server(name: str, llm: LlmSettings, where: str) -> Iterator[Check]:
    if where.startswith(_SCHEME):
        path = Path(where.removeprefix(_SCHEME))
        yield Check(f"llm {name} socket", partial(look_at_socket, name, path, managed=llm.managed is not None))
    yield Check(f"llm {name}", partial(look_at_llm, name, llm, where), _LLM_S)


def _collections(data_dir: Path) -> int:
    with suppress(StoreUnavailableError):  # which the models' check reports
        return len(stored_specs(data_dir))
    return 0


def _gpus() -> GpuState:
    reader = open_gpus({})
    try:
        return reader.read()
    finally:
        reader.close()
