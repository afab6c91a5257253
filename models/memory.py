"""The memory this process may take of a GPU: measured under the largest shapes, then held to that.

The cap counts what PyTorch reserves. While something is loaded or measured it is lifted, so the models of one process
are loaded and warmed up one after another and the last measurement covers them all.
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


def cap_at_peak(device: str) -> int:
    """Hold the process to the peak since ``begin_measuring`` and a margin.

    Returns:
        The peak in bytes, all models of the process together; 0 on the CPU.
    """
    if device == "cpu":
        return 0
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_reserved(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, peak * (1 + _MARGIN) / total), device)
    return peak
