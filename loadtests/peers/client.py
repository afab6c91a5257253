"""The load: one process, one job on its standard input, one result on its standard output.

It shares the cores with the server, so it parses nothing while the clock runs and keeps the replies for later. Plain
asyncio streams on uvloop cost the least of what was tried, see README.md.
"""

import asyncio
import base64
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import orjson
import uvloop

from loadtests.peers.job import Job, Result
from loadtests.peers.reply import WrongReplyError, read_reply
from loadtests.peers.texts import TextsExhaustedError, TextSource, text_source

_REPLY_S = 60.0
_LENGTH = b"content-length"
_OK = b" 200 "


class LoadError(Exception):
    """The server did not answer as it should; the message says how."""


@dataclass(slots=True)
class _Load:
    """What the connections share while the load runs."""

    job: Job
    source: TextSource
    stop_at: float
    requests: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)
    replies: list[tuple[int, bytes]] = field(default_factory=list)

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """Number and body of the next request, until the time is up."""
        job = self.job
        while time.perf_counter() < self.stop_at:
            number, self.requests = self.requests, self.requests + 1
            first = job.first_text + number * job.texts_per_request
            texts = [self.source.text(first + i, job.words) for i in range(job.texts_per_request)]
            yield number, orjson.dumps({"model": job.model, "input": texts, "encoding_format": job.encoding})


def main() -> None:
    """Run the job of standard input."""
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    try:
        result = run(job)
    except (LoadError, WrongReplyError, TextsExhaustedError) as error:
        result = Result(error=str(error))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        result = Result(error=f"connection lost: {type(error).__name__} {error}")
    # Not sys.stdout.buffer: without a buffer, as PYTHONUNBUFFERED asks for, it may write a part and return.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(orjson.dumps(asdict(result)))


def run(job: Job) -> Result:
    """Put the load on the server, then check every reply."""
    source = text_source(Path(job.texts_file) if job.texts_file else None, job.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cpu = time.process_time()
        load = runner.run(_drive(job, source))
        cpu = time.process_time() - cpu
    opens_at = load.stop_at - job.seconds
    done = [end - start for start, end in load.spans if opens_at <= end < load.stop_at]
    return Result(
        requests_per_s=completed_within(load.spans, opens_at, load.stop_at) / job.seconds,
        latencies_ms=[seconds * 1000 for seconds in done],
        cpu_s=cpu,
        texts=load.requests * job.texts_per_request,
        vectors=_checked(load),
    )


def completed_within(spans: list[tuple[float, float]], opens_at: float, closes_at: float) -> float:
    """Requests completed between two moments, with the parts of those that straddle them.

    Whole requests alone would be a coarse measure of a server that completes a handful in that time.
    """
    inside = (max(0.0, min(end, closes_at) - max(start, opens_at)) / (end - start) for start, end in spans)
    return sum(inside)


async def _drive(job: Job, source: TextSource) -> _Load:
    """Keep ``concurrency`` requests in flight until the time is up."""
    streams = [await _connect(job.port) for _ in range(job.concurrency)]
    load = _Load(job, source, time.perf_counter() + job.ramp_s + job.seconds)
    try:
        async with asyncio.timeout(job.ramp_s + job.seconds + _REPLY_S):
            await asyncio.gather(*(_keep_asking(load, reader, writer) for reader, writer in streams))
    except TimeoutError:
        raise LoadError(f"no reply to POST {job.path} within {_REPLY_S:g} s") from None
    finally:
        for _, writer in streams:
            writer.close()
    return load


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return reader, writer


async def _keep_asking(load: _Load, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = f"POST {load.job.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    for number, body in load.bodies():
        start = time.perf_counter()
        writer.write(b"%s%d\r\n\r\n%s" % (head.encode(), len(body), body))
        reply = await _read(reader, load.job.path)
        load.spans.append((start, time.perf_counter()))
        load.replies.append((number, reply))


async def _read(reader: asyncio.StreamReader, path: str) -> bytes:
    """The body of the next response."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    lengths = [value for name, _, value in (line.partition(b":") for line in fields) if name.lower() == _LENGTH]
    if not lengths:
        raise LoadError(f"{status.decode()} to POST {path}, without a content-length")
    body = await reader.readexactly(int(lengths[0]))
    if _OK not in status:
        raise LoadError(f"{status.decode()} to POST {path}: {body[:300].decode(errors='replace')}")
    return body


def _checked(load: _Load) -> str:
    """Check every reply; the vectors of the first texts."""
    job = load.job
    first: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []
    for number, body in sorted(load.replies):
        vectors = read_reply(body, job.texts_per_request, job.dimension)
        if number * job.texts_per_request < job.kept:
            first.append(vectors)
    return base64.b64encode(np.concatenate(first)[: job.kept].tobytes()).decode()


if __name__ == "__main__":
    main()
