"""What the server is told to do to the requests to come."""

import asyncio
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Each happens once the rule's `after` tokens are out, a non-streaming request seeing nothing of those:
#   stall    no more tokens, the connection stays open
#   reset    the connection is reset
#   cut      the connection is closed in order, the body without its end
#   garbage  a line that is not JSON, then the rest
#   error    an error object, then [DONE]; status 500 where nothing is streamed
# and at once, whatever `after` says:
#   drip     the stream comes byte by byte, `drip_ms` apart
#   freeze   no reply at all
#   busy     503, as a full queue has it
#   dead     500, as a dead engine has it
Fault = Literal["stall", "reset", "cut", "garbage", "error", "drip", "freeze", "busy", "dead"]
# hung: health is 200 and no token comes. dead: health is 503 and requests are 500. frozen: nothing is answered.
EngineState = Literal["ok", "hung", "dead", "frozen"]

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """What happens to some requests.

    Attributes:
        contains: only to those whose prompt contains this.
        times: to so many; None is all.
        text: is said where the request itself leaves no choice.
        after: tokens before the fault.
    """

    contains: str = ""
    times: Annotated[int, Field(ge=1)] | None = None
    ttft_ms: Milliseconds | None = None
    itl_ms: Milliseconds | None = None
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    text: str | None = None
    fault: Fault | None = None
    after: Annotated[int, Field(ge=0)] = 0
    drip_ms: Milliseconds = 1.0


class Orders(_Strict):
    """The body of ``POST /fake/script``; it replaces all before it: ``{}`` is a server as started."""

    rules: tuple[Rule, ...] = ()
    engine: EngineState = "ok"


class Script:
    """The orders in force and how often each was followed."""

    def __init__(self) -> None:
        self.engine: EngineState = "ok"
        self._rules: list[tuple[Rule, int]] = []
        self._changed = asyncio.Event()

    def follow(self, orders: Orders) -> None:
        """Replace the orders; what waits for another state of the engine looks again."""
        self._rules = [(rule, 0) for rule in orders.rules]
        self.engine = orders.engine
        self._changed.set()
        self._changed = asyncio.Event()

    def rule_for(self, prompt: str) -> Rule:
        """The first rule that fits, used up by one."""
        for position, (rule, used) in enumerate(self._rules):
            if rule.contains in prompt and (rule.times is None or used < rule.times):
                self._rules[position] = rule, used + 1
                return rule
        return Rule()

    async def until_not(self, *states: EngineState) -> None:
        """Return as soon as the engine is in none of the states."""
        while self.engine in states:
            await self._changed.wait()
