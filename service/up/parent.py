"""The parent process: everything it is made of, and its life."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue

from service.settings import Settings, environment
from service.telemetry.gpu import GpuReader, GpuState
from service.telemetry.nvml import open_gpus
from service.up import managed_llm, run_directory
from service.up.child import Launch
from service.up.durations import Durations
from service.up.errors import UpError
from service.up.events import report
from service.up.kept_llm import KeptLlm
from service.up.kept_serve import KeptServe
from service.up.supervisor import Supervisor

_ROOT = Path(__file__).parents[2]
_GPUS_S = 60.0  # a driver that nobody has used yet takes seconds for each card
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_parent(settings: Settings, serve: Sequence[str], durations: Durations) -> None:
    """Run `quarry serve` and the managed language model's server until SIGINT, SIGTERM or SIGHUP.

    Args:
        serve: the command line of the first.

    Raises:
        UpError: there is nothing to run with these settings, another parent runs, or `quarry serve` does not start.
    """
    inherited = environment()
    llm = managed_llm.chosen(settings, inherited, gpus_within(_GPUS_S, lambda: open_gpus({})))
    with run_directory.owned(settings.data_dir) as directory:
        directory.end_left_over(durations.left_over_s)
        asyncio.run(_run(Launch(serve, _importing(inherited)), llm, directory, durations))


async def _run(
    serve: Launch,
    llm: managed_llm.ManagedLlm | None,
    directory: run_directory.RunDirectory,
    durations: Durations,
) -> None:
    kept_serve = KeptServe(serve, directory.record("serve"), durations)
    kept_llm = KeptLlm(llm, kept_serve, directory, durations) if llm else None
    supervisor = Supervisor(kept_serve, kept_llm)
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    report("up", "starting", "" if llm else "no language model is managed: `quarry serve` is kept alone")
    await supervisor.run()


def gpus_within(seconds: float, opened: Callable[[], GpuReader]) -> GpuState:
    """The GPUs as they are now. Read once: how large a card is does not change.

    On a thread that is left behind when the driver does not return, as one in trouble may not.

    Raises:
        UpError: it did not return in time.
    """
    states: SimpleQueue[GpuState | Exception] = SimpleQueue()

    def read() -> None:
        try:
            with closing(opened()) as reader:
                states.put(reader.read())
        except Exception as error:  # the edge of the thread: it is raised where it is waited for
            states.put(error)

    threading.Thread(target=read, name="quarry-gpus", daemon=True).start()
    try:
        state = states.get(timeout=seconds)
    except Empty:
        raise UpError(f"the NVIDIA driver did not say in {seconds:g} s which GPUs there are; see nvidia-smi") from None
    if isinstance(state, Exception):
        raise state
    return state


def serve_command(arguments: Sequence[str]) -> list[str]:
    """`quarry serve` of this installation; a folder `service` where the command is given is not taken for it."""
    return [sys.executable, "-P", "-m", "service", "serve", *arguments]


def _importing(inherited: dict[str, str]) -> dict[str, str]:
    path = inherited.get("PYTHONPATH")
    return inherited | {"PYTHONPATH": f"{_ROOT}:{path}" if path else str(_ROOT)}
