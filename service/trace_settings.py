"""Settings of traces."""

from typing import Annotated

from pydantic import AfterValidator, Field

from service.server_url import server_url
from service.settings_group import Group


def _parsable(url: str) -> str:
    server_url(url, "a collector that asks for them needs a proxy that shows them")
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
