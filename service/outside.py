"""Outside: what of the world an application is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.base import Embedder
from service.ingest.parser import Parser
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.measured_memory import Memory
from service.telemetry.gpu import GpuReader
from service.telemetry.nvml import open_gpus

OpenGpus = Callable[[Mapping[str, str]], GpuReader]


@dataclass(frozen=True, slots=True)
class Outside:
    """What of the world outside an application is given rather than found by it.

    Attributes:
        embedder: the default one; None loads what the settings name, when the application starts.
        on_lost: called when the device is lost and the process should be started again.
        parser: of uploaded files; None takes the one that belongs to the application.
        link: descriptor of the link to `quarry up`, which closes with the application; None where nobody supervises.
        fork_server: of the parsers, started already; None starts one when the first file comes.
        open_gpus: makes what reads the GPUs, given the UUIDs of those that CUDA names.
        memory: that is held to its marks; None measures that of this machine.
    """

    embedder: Embedder | None = None
    on_lost: Callable[[], None] = lambda: None
    parser: Parser | None = None
    link: int | None = None
    fork_server: ForkServerProcess | None = None
    open_gpus: OpenGpus = open_gpus
    memory: Memory | None = None
