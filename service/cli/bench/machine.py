"""The machine that a measurement was made on."""

import platform
from pathlib import Path


def processor() -> str:
    """What the kernel calls it, with the instruction sets that decide the speed of a forward."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    wide = [flag for flag in fields.get("flags", "").split() if flag in {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}]
    return f"{fields.get('model name', platform.machine())} ({', '.join(wide)})"
