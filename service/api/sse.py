"""Server-sent events: framing, a heartbeat, and an end in order when the client is gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse

from service.budget import Deadline

_HEARTBEAT_S = 10.0
_QUEUED_FRAMES = 64
_CLOSE_S = 5.0
# After the deadline, for the last frames to be taken by a client that is slow and not gone.
_TAKEN_S = 5.0


def event(name: str, data: object) -> bytes:
    """One frame."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))


def unnamed(data: object) -> bytes:
    """One frame as OpenAI's clients read it."""
    return b"data: %s\n\n" % orjson.dumps(data)


def failure(request: Request, problem: dict[str, Any]) -> bytes:
    """The last frame of a stream that failed: ``error``, or what the route has put into its state."""
    frame: Callable[[dict[str, Any]], bytes] = getattr(request.state, "failure_frame", partial(event, "error"))
    return frame(problem)


class EventStream(StreamingResponse):
    """Streams frames; a comment line goes out whenever nothing else did for ten seconds.

    When the client hangs up, the source is cancelled, and with it the work behind it. So it is when the client takes
    nothing any more, soon after the deadline.

    Args:
        opening: makes the first frame, once the source is under way: what that waits for hides the making.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        deadline: Deadline,
        headers: dict[str, str] | None = None,
        opening: Callable[[], bytes] | None = None,
    ) -> None:
        super().__init__(
            _with_heartbeat(frames, deadline.later(_TAKEN_S), opening),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})},
        )


async def _with_heartbeat(
    frames: AsyncGenerator[bytes, None], latest: Deadline, opening: Callable[[], bytes] | None
) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED_FRAMES)

    async def pump() -> None:
        # One task runs the source from first to last: timeouts inside it belong to the task that entered them.
        try:
            async with aclosing(frames):
                async for frame in frames:
                    async with latest.enforced("stream"):
                        await queue.put(frame)
                    # A burst is no reason to keep its first frame back until the last is made.
                    await asyncio.sleep(0)
        except Exception:  # the edge of the source: the consumer must wake to find out
            await queue.put(None)
            raise
        await queue.put(None)

    task = asyncio.create_task(pump(), name="sse-pump")
    try:
        if opening:
            await asyncio.sleep(0)
            yield opening()
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    frame = await queue.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if frame is None:
                await task
                return
            yield frame
    finally:
        task.cancel()
        # A stream whose client is gone is cancelled again at every await. Handed on, that would interrupt the source
        # while it closes its connections, which would then stay open.
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task}, timeout=_CLOSE_S)
