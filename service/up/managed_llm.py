"""ManagedLlm: the one language model whose server the parent runs."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.capacity.allotment import Allotment
from service.capacity.configuration import allotment
from service.capacity.errors import CapacityError
from service.llm_settings import LlmSettings, ManagedSettings
from service.settings import Settings
from service.telemetry.gpu import GpuState
from service.up.errors import UpError
from service.up.vllm_command import vllm_command

_LONGEST_SOCKET = 107  # bytes; what the kernel takes
_NVIDIA = Path("/proc/driver/nvidia/version")
_CUDA_DEVICES = "CUDA_VISIBLE_DEVICES"
# vLLM has an environment of its own, and no business with our settings and their secrets.
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "VLLM_API_KEY")


@dataclass(frozen=True, slots=True)
class ManagedLlm:
    """What is needed to run a vLLM server and to ask it. ``chosen`` makes it.

    Attributes:
        executable: as an absolute path.
        socket: it listens on.
        environment: of its process.
    """

    name: str
    settings: LlmSettings
    managed: ManagedSettings
    executable: Path
    socket: Path
    environment: Mapping[str, str]
    allotment: Allotment

    @property
    def key(self) -> str | None:
        """Bearer token; None where the folder of the socket is the only guard."""
        return self.settings.key.get_secret_value() if self.settings.key else None

    def command(self, known_flags: frozenset[str] | None) -> list[str]:
        """See ``vllm_command``."""
        ours = vllm_command(self.settings, f"unix://{self.socket}", self.allotment, known_flags)
        return [str(self.executable), *ours[1:]]


def chosen(settings: Settings, environment: Mapping[str, str], gpus: GpuState) -> ManagedLlm | None:
    """The managed language model of the settings; None where there is none.

    Args:
        gpus: of this machine, whose memory it shares with everything else that the settings put there.

    Raises:
        UpError: there are several, or what it names is not there, or it does not fit.
    """
    managed = {name: llm for name, llm in settings.llm.items() if llm.managed}
    if len(managed) > 1:
        names = ", ".join(f"llm.{name}" for name in sorted(managed))
        raise UpError(f"{names} are managed; `quarry up` runs one: leave `managed` to one of them")
    for name, llm in managed.items():
        if llm.managed:
            return _checked(
                name, llm, llm.managed, settings.llm_url(name), environment, _allotted(settings, name, gpus)
            )
    return None


def _allotted(settings: Settings, name: str, gpus: GpuState) -> Allotment:
    """By the plan for the smallest of its cards; without any, what the operator wants."""
    managed = settings.llm[name].managed
    assert managed is not None  # noqa: S101  what it is called for
    if not gpus.gpus:
        return Allotment(None, managed.kv_cache_bytes)
    named = {f"cuda:{device}" for device in managed.devices}
    sizes = []
    for gpu in [gpu for gpu in gpus.gpus if gpu.device in named] or gpus.gpus:
        if gpu.memory is None:
            why = gpu.trouble or "NVML hides it"
            raise UpError(f"llm.{name}.managed.devices: the memory of {gpu.device} is not known ({why})")
        sizes.append(gpu.memory.total)
    try:
        return allotment(settings, name, min(sizes), len(gpus.gpus))
    except CapacityError as error:
        raise UpError(str(error)) from error


def _checked(
    name: str,
    llm: LlmSettings,
    managed: ManagedSettings,
    url: str,
    environment: Mapping[str, str],
    allotted: Allotment,
) -> ManagedLlm:
    found = shutil.which(managed.command, path=environment.get("PATH"))
    if found is None:
        raise UpError(
            f"llm.{name}.managed.command is {str(managed.command)!r}, and there is no such executable: "
            "name the `vllm` of the environment it is installed in"
        )
    if not managed.weights.is_dir():
        raise UpError(f"llm.{name}.managed.weights is {str(managed.weights)!r}, and there is no such folder")
    socket = Path(url.removeprefix("unix://"))
    length = len(str(socket).encode())
    if length > _LONGEST_SOCKET:
        raise UpError(
            f"the socket of llm.{name} would be {socket}, {length} bytes; the limit is {_LONGEST_SOCKET}: "
            f"set llm.{name}.url to a shorter unix:///path"
        )
    return ManagedLlm(
        name,
        llm,
        managed,
        Path(found).absolute(),
        socket,
        _environment(name, llm, managed, environment),
        allotted,
    )


def _environment(
    name: str, llm: LlmSettings, managed: ManagedSettings, environment: Mapping[str, str]
) -> dict[str, str]:
    kept = {
        variable: value
        for variable, value in environment.items()
        if variable not in _NOT_INHERITED and not variable.startswith("QUARRY_")
    }
    kept["VLLM_NO_USAGE_STATS"] = "1"
    if llm.key:
        kept["VLLM_API_KEY"] = llm.key.get_secret_value()
    if _NVIDIA.exists():
        kept[_CUDA_DEVICES] = ",".join(_visible(name, managed.devices, environment.get(_CUDA_DEVICES)))
    return kept


def _visible(name: str, devices: tuple[int, ...], visible: str | None) -> list[str]:
    """Devices as CUDA names them: of those that this process may see, where it may not see all."""
    if visible is None:
        return [str(device) for device in devices]
    all_visible = [part.strip() for part in visible.split(",") if part.strip()]
    missing = [device for device in devices if device >= len(all_visible)]
    if missing:
        raise UpError(f"llm.{name}.managed.devices names {missing[0]}, but {_CUDA_DEVICES} is {visible!r}")
    return [all_visible[device] for device in devices]
