"""The memory this process may take of a GPU: measured under the largest shapes, then held to that.

The cap counts what PyTorch reserves. Each model is measured once all of them are loaded, so that every peak covers the
weights of all, and the process is held to the highest.
"""

import torch

# Beyond the measured peak, for blocks that other shapes of the same size split differently.
_MARGIN = 1 / 8


def lift_cap(device: str) -> None:
    """Let the process take all of ``device`` again; nothing on the CPU."""
    if device != "cpu":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def begin_measuring(device: str) -> None:
    """Forget the peak so far, and what only loading needed; nothing on the CPU."""
    if device != "cpu":
        lift_cap(device)
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: str) -> int:
    """Most memory held since ``begin_measuring``, weights of all models included; 0 on the CPU."""
    if device == "cpu":
        return 0
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_reserved(device)


def reserved_bytes(device: str) -> int:
    """Memory that PyTorch holds on ``device`` now, whatever for; 0 on the CPU, whose allocator keeps no count."""
    return 0 if device == "cpu" else torch.cuda.memory_reserved(device)


def idle_bytes(device: str) -> int:
    """Of the reserved bytes, those that no tensor has and the next forward will; 0 on the CPU."""
    return 0 if device == "cpu" else torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def cap_at(peak: int, device: str) -> None:
    """Hold the process to ``peak`` bytes and a margin; nothing on the CPU."""
    if device != "cpu":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, peak * (1 + _MARGIN) / total), device)
