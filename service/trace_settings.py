"""Settings of traces."""

from typing import Annotated

import httpx
from pydantic import AfterValidator, Field

from service.settings_group import Group


def _parsable(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.userinfo:  # it would stand in messages and in what shows the settings
        raise ValueError("the endpoint has a user or a password, which it must not")
    if not parsed.host:
        raise ValueError(f"{url!r} has no host")
    return url


class TraceSettings(Group):
    """Where traces go; nowhere by default.

    Attributes:
        endpoint: of a collector that takes OTLP over HTTP, with its path, e.g. ``http://127.0.0.1:4318/v1/traces``;
            needs the extra ``otel``.
        sample: share of the requests that are traced; those whose caller has decided go by that.
        max_queued: spans that wait to be sent; beyond it they are dropped, and counted.
    """

    endpoint: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_parsable)] | None = None
    sample: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    max_queued: int = Field(8192, ge=512)
