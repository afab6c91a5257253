"""What a bundle may be of."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

OWN = "quarry"


class Profile(StrEnum):
    """For which machines."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the wheels of an environment are named.

    Attributes:
        name: of the environment; ``quarry`` has Quarry's own wheel too.
        python: that they are for.
        root: what is asked for, e.g. ``quarry[cpu,milvus,otel,redis]``.
        pins: a file in constraints/: a lock, or for the Python that runs this, versions without hashes.
    """

    name: str
    python: str
    root: str
    pins: str

    @property
    def is_locked(self) -> bool:
        """The file has everything, with hashes."""
        return self.pins.endswith(".lock")


def sources(profile: Profile) -> Sequence[Source]:
    """The environments of a profile.

    Builds of torch for the CPU come from an index that the operator names, so the versions of that profile are pinned
    and its wheels are what is found for the running Python. The CUDA profile has the image's.
    """
    match profile:
        case Profile.CPU:
            running = f"{sys.version_info.major}.{sys.version_info.minor}"
            return [Source(OWN, running, "quarry[cpu,milvus,otel,redis]", "cpu.txt")]
        case Profile.CUDA:
            return [
                Source(OWN, "3.12", "quarry[cuda,milvus,otel,redis]", "cuda.lock"),
                Source("vllm", "3.12", "vllm", "vllm.lock"),
            ]
