"""Settings of the jobs that bring uploads into collections."""

from pydantic import Field

from service.settings_group import Group


class JobSettings(Group):
    """How uploads are taken on, carried out and remembered.

    Attributes:
        default_wait_ms: that the upload of a file waits to be searchable, where it says nothing itself; then it is a
            202.
        concurrency: jobs that are carried out at a time; one caller has all but one at most, its uploads above 256 KiB
            all but two.
        max_open: jobs that have not ended; beyond it: 503.
        max_open_bytes: of their raw inputs, those counted that still arrive, likewise.
        attempts: of a job during which the process died, or as often the one that read its file; then it has failed.
        patience_s: that a job is tried again for, by one process, while what it needs is unavailable.
        keep_ended: jobs that are remembered after their end.
        keep_ended_s: for so long at most.
    """

    default_wait_ms: int = Field(30_000, ge=0, le=600_000)
    concurrency: int = Field(8, ge=1, le=256)
    max_open: int = Field(4096, ge=1)
    max_open_bytes: int = Field(4 * 1024**3, ge=1024)
    attempts: int = Field(3, ge=1, le=100)
    patience_s: float = Field(3600, gt=0, allow_inf_nan=False)
    keep_ended: int = Field(10_000, ge=0)
    keep_ended_s: float = Field(7 * 86_400, ge=0, allow_inf_nan=False)
