"""Settings of what several processes share: a Redis or Valkey server."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from service.server_url import server_url
from service.settings_group import Group


def _plain(url: str) -> str:
    """Options in it could turn the check of certificates off."""
    parsed = server_url(url, "redis.username and redis.password take them")
    if parsed.query or parsed.fragment:
        raise ValueError(f"{url!r} has options, which it must not: redis.* has a setting for each that there is")
    if parsed.scheme != "unix" and parsed.path not in {"", "/"}:
        raise ValueError(f"{url!r} is not scheme://host:port; redis.database is a setting of its own")
    return url


class RedisSettings(Group):
    """Where limits, keys and results are shared; nowhere by default.

    Attributes:
        url: ``redis://host:port``, ``rediss://host:port`` with TLS, or ``unix:///path/to/socket``;
            needs the extra ``redis``.
        username: of the server; None sends none.
        password: of the server, better as a file, by ``QUARRY_REDIS__PASSWORD_FILE``.
        database: its number.
        ca_certs: who signs the server's certificate; None trusts whom the system trusts.
        secret: the same in all processes, of 32 characters or more: what is read from Redis counts only with it.
            Needed with a URL, better as ``QUARRY_REDIS__SECRET_FILE``.
        prefix: of every name there, so that others may use the server too.
        timeout_ms: longest wait for an answer; then the server is lost, and not waited for until it answers again.
        lease_ms: after it a killed process's requests count no more against the concurrency of their key.
    """

    url: Annotated[str, Field(pattern=r"^(rediss?://|unix:///)"), AfterValidator(_plain)] | None = None
    username: str | None = None
    password: SecretStr | None = None
    database: int = Field(0, ge=0)
    ca_certs: Path | None = None
    secret: SecretStr | None = Field(None, min_length=32, max_length=1024)
    prefix: str = Field("quarry", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    timeout_ms: float = Field(50, gt=0, le=60_000, allow_inf_nan=False)
    lease_ms: int = Field(30_000, ge=1000)

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.url is not None and self.secret is None:
            raise ValueError("secret is missing: whoever else can write to Redis could make keys and results otherwise")
        return self
