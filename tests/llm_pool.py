"""Several scripted servers behind one generator: what they were asked, and what came of it."""

from collections.abc import Sequence
from typing import Any

import scripted_llm as llm
from scripted_llm import ScriptedLlm, said, usage
from service.generation.base import Delta, Event, Finished

YES = llm.answering(said("Yes."), usage())


def answering() -> ScriptedLlm:
    return ScriptedLlm([YES])


def counts(*servers: ScriptedLlm) -> list[int]:
    return [len(server.asked) for server in servers]


def text(events: Sequence[Event]) -> str:
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


def served(it: Any, server: ScriptedLlm) -> dict[str, Any]:  # noqa: ANN401
    """The server as the status page has it."""
    found: list[dict[str, Any]] = it.generator.describe()["servers"]
    return next(one for one in found if one["url"] == server.url)
