"""Scopes: what a key is for. ``admin`` includes the others."""

from typing import Literal, get_args

Scope = Literal["query", "ingest", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
