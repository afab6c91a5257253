"""Settings of who may ask."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from service.settings_group import Group


class AccessSettings(Group):
    """Keys beside those of ``quarry keys``.

    Attributes:
        admin_key: a key with all rights, of 32 characters or more; every request needs a key then. Better as a file,
            by ``QUARRY_ACCESS__ADMIN_KEY_FILE``.
        keys: whose keys hold: ``own`` of the data directory, ``published`` to others as well by way of Redis, or
            ``replicated`` from the process that publishes them.
        keep_keys_s: after it, replicated keys that nobody could look for again open nothing; None is never.
        open_metrics: GET /metrics asks for no key; it names collections and keys.
        requests_per_minute: of each key that has no limit of its own, as the next two; None is no limit.
        tokens_per_minute: that models read and write for it.
        concurrency: requests of it at a time.
        audit_log: a file for the audit log alone; None writes it where the other logs go.
    """

    admin_key: SecretStr | None = Field(None, min_length=32, max_length=1024)
    keys: Literal["own", "published", "replicated"] = "own"
    keep_keys_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    open_metrics: bool = False
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    concurrency: int | None = Field(None, ge=1)
    audit_log: Path | None = None
