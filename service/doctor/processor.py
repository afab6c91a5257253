"""What the processor offers to forwards."""

from collections.abc import Iterator
from pathlib import Path

from models.device import available_cores
from service.doctor.check import Finding, ok

_CPUINFO = Path("/proc/cpuinfo")
# What bfloat16 on a CPU is fast by, and what every build of FAISS wants.
_WORTH_NAMING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "bf16", "sve")


def look_at_processor(cpuinfo: Path = _CPUINFO) -> Iterator[Finding]:
    """For information: nothing here is wrong."""
    flags = _flags(cpuinfo)
    there = [name for name in _WORTH_NAMING if name in flags]
    fast = "bfloat16 in hardware" if {"avx512_bf16", "amx_bf16", "bf16"} & set(there) else "no bfloat16 in hardware"
    yield ok(
        "processor", f"{available_cores()} cores for this process, {fast} ({', '.join(there) or 'no known features'})"
    )


def _flags(cpuinfo: Path) -> set[str]:
    """Of the first core; x86 calls them flags, ARM features."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    for line in lines:
        name, _, values = line.partition(":")
        if name.strip().lower() in {"flags", "features"}:
            return set(values.split())
    return set()
