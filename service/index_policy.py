"""How the settings of the index are carried out on this machine."""

import logging
from collections.abc import Callable

from indexes.crossover import measure_crossover
from indexes.errors import SelfTestError
from indexes.gpu_probe import capabilities, choose_device
from indexes.placement import IndexMemory, Place
from indexes.upkeep import IndexPolicy
from service.index_settings import IndexSettings

_log = logging.getLogger("quarry.index")


def index_policy(settings: IndexSettings) -> IndexPolicy:
    """The policy of every collection. A GPU is asked first whether it answers as the CPU does.

    Raises:
        DeviceError: the device that is named is not there.
        SelfTestError: the one that is named gives wrong answers; one that was found is left alone instead.
    """
    able = capabilities()
    device = choose_device(settings.device, able)
    place: Place | None = None
    memory_there: Callable[[], IndexMemory] = IndexMemory
    if device != "cpu":
        from indexes.gpu_placement import CardPlacer  # noqa: PLC0415  brings torch, on machines with a GPU only

        placer = CardPlacer(device, settings.device_bytes, able)
        try:
            placer.check()
            place, memory_there = placer, placer.memory
        except SelfTestError:
            if settings.device != "auto":
                raise
            _log.exception(f"indexes stay on the CPU: {device} does not answer as it should")
            device = "cpu"
    device = device if place else "cpu"
    return IndexPolicy(settings.seal_rows, settings.shadow_share, measure_crossover, device, place, memory_there)
