"""What bodies of requests have in common."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

FILTERS = "What a document's metadata must pass."

# What the schemas say of text that the rooms below check, and refuse as 400: it has something in it, and no NUL.
NOT_BLANK = r"[^\s\u001c-\u001f\u0085]"
NO_NUL = r"^[^\u0000]*$"
NOT_BLANK_NO_NUL = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""After the limits of an integer: 10.0 is the same number of JSON as 10, which strict types of Python do not see."""


class StrictBody(BaseModel):
    """A shape of our own: unknown fields are refused, and no type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


def examples(*values: object, **schema: object) -> ConfigDict:
    """The ``model_config`` of a model with examples, and more of its schema where there is more to say."""
    # As text, which keeps its order and its nulls on the way through FastAPI; the document has the values.
    shown = {"examples": [json.dumps(value) for value in values]} if values else {}
    return ConfigDict(json_schema_extra={**shown, **schema})  # type: ignore[dict-item]


def described(schema: str | None = None, settings: dict[str, str] | None = None, **keywords: object) -> dict[str, Any]:
    """The ``json_schema_extra`` of a field.

    Args:
        schema: name of a component that says what an object in it is.
        settings: limits that are an operator's, as keyword -> setting.
        keywords: of the schema, for what is checked elsewhere.
    """
    return {
        **({"x-schema": schema} if schema else {}),
        **({"x-settings": settings} if settings else {}),
        **keywords,
    }


class VendorBody(BaseModel):
    """A shape that others' clients speak: fields it does not know are theirs, and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)
