"""How uploaded files are read."""

from pydantic import Field

from service.settings_group import Group


class ParsingSettings(Group):
    """How uploaded files are read, each by a process of its own, and what that process may take.

    Attributes:
        processes: at once; None takes the cores the process may run on, four at most.
        max_queued: files that wait for one of them; beyond it: 503.
        seconds: from a process's start to its end; beyond it, as beyond each of the next: 413.
        cpu_seconds: that it may compute.
        memory_bytes: that it may take of memory.
        expanded_bytes: what all members of an archive, as DOCX is one, may expand to.
        members: of an archive.
        pages: of a PDF.
    """

    processes: int | None = Field(None, ge=1, le=64)
    max_queued: int = Field(4096, ge=1)
    seconds: float = Field(180, gt=0, allow_inf_nan=False)
    cpu_seconds: int = Field(60, ge=1)
    memory_bytes: int = Field(1 << 30, ge=1 << 26)
    expanded_bytes: int = Field(256 * 1024 * 1024, ge=1024)
    members: int = Field(10_000, ge=1)
    pages: int = Field(10_000, ge=1)
