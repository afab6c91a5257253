"""What bodies of requests have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FILTERS = (
    "What a document's metadata must pass: {type: eq, ne, gt, gte, lt, lte, in or nin, key, value} "
    "or {type: and or or, filters: [...]}."
)

Finite = Annotated[float, Field(allow_inf_nan=False)]


class StrictBody(BaseModel):
    """A shape of our own: unknown fields are refused, and no type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class VendorBody(BaseModel):
    """A shape that others' clients speak: fields it does not know are theirs, and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)
