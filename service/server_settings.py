"""How the server is reached: where it listens, whom it lets ask, and how long it waits for what a client sends."""

import re
from ipaddress import ip_address
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from service.settings_group import Group

Role: TypeAlias = Literal["writer", "replica"]

_ANY = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")


class ServerSettings(Group):
    """Where to listen, what a request may be, and who may ask.

    Attributes:
        role: ``writer`` owns the data directory; ``replica`` has none, and answers queries from what a writer has put
            into ``index.milvus``.
        host: address to listen on; one that others can reach needs keys.
        port: of the API; 0 takes a free one.
        metrics_port: of /metrics alone, at the same address and for the same keys; None leaves it on the API's, 0
            takes a free one.
        max_body_bytes: of a document, a batch, a file, or texts to embed or to rank; beyond it: 413.
        max_small_body_bytes: of everything else, such as a search, where that is less; beyond it: 413.
        head_timeout_s: for the whole head of a request, from the connection or from the head's first byte on.
        body_timeout_s: without a single byte, of a body that is read or of a reply that is taken; beyond it: 408, or
            the connection is closed.
        max_connections: open at once; then those that wait for their client give way. None takes half of the files
            that the process may open, at most 10,000.
        hosts: names by which the server may be called, as ``quarry.example``; one that is not ``localhost`` or below
            it needs keys. Empty: any where keys guard it, else these of the loopback and IP addresses.
        cors_origins: web pages whose scripts may read replies, as exact origins like ``https://page.example``; ``*``
            alone is every page, where there are keys.
        log_level: of the lines on stderr.
    """

    role: Role = "writer"
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    metrics_port: int | None = Field(None, ge=0, le=65535)
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    max_small_body_bytes: int = Field(1024 * 1024, ge=1024)
    head_timeout_s: float = Field(10, gt=0, le=3600)
    body_timeout_s: float = Field(30, gt=0, le=3600)
    max_connections: int | None = Field(None, ge=1)
    hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def is_loopback(self) -> bool:
        """Nobody but this machine can reach the address."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Nobody but this machine is to ask: others do, through a proxy, where a name of another machine is set."""
        return self.is_loopback and all(name == "localhost" or name.endswith(".localhost") for name in self.hosts)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError(
                f"metrics_port is {self.metrics_port}, which is the API's port: leave it out, or take another"
            )
        return self

    @model_validator(mode="after")
    def _names_are_exact(self) -> Self:
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"hosts has {host!r}: a name in lower case, without scheme, port or wildcard, is one")
        for origin in self.cors_origins:
            if origin != _ANY and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"cors_origins has {origin!r}: scheme://host or scheme://host:port in lower case, without a path, "
                    "is one"
                )
        if _ANY in self.cors_origins and len(self.cors_origins) > 1:
            raise ValueError("cors_origins has '*' beside others: it is every origin already")
        return self
