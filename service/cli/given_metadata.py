"""GivenMetadata: what every document of an ingest is given, under what it says itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.cli.console import fail


@dataclass(frozen=True, slots=True)
class GivenMetadata:
    """Fields by name."""

    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parsed(cls, text: str | None) -> "GivenMetadata":
        """Those of ``--metadata``; what is no JSON object ends the command."""
        if text is None:
            return cls()
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            fail(f"--metadata is not JSON: {error}")
        if not isinstance(fields, dict):
            fail(f"--metadata is no JSON object: {text[:80]}")
        return cls(fields)

    def of_file(self) -> dict[str, str]:
        """The form's field of a file."""
        return {"metadata": json.dumps(self.fields)} if self.fields else {}

    def of_line(self, line: bytes) -> bytes:
        """The line with these fields, but for those that it has itself; one that is no document as it is."""
        if not self.fields:
            return line
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):  # the server says what is wrong with it
            return line
        own = document.get("metadata", {}) if isinstance(document, dict) else None
        if not isinstance(own, dict):
            return line
        return json.dumps({**document, "metadata": {**self.fields, **own}}).encode()


NOTHING = GivenMetadata()
