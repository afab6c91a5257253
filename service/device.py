"""DeviceThread: the one thread that calls the models, and asks for the next batch the moment it is free."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from models.base import DeviceMemoryError, Launched, Vectors
from service.scheduling.job import Batch, Job, Piece
from service.scheduling.scheduler import Scheduler


class Forward(Protocol):
    """What is run: rows of tokens in, ``(n, width)`` float32 out."""

    def launch(self, batch: Sequence[Any]) -> Launched:
        """Start a forward."""


@dataclass(slots=True, eq=False, kw_only=True)
class DeviceJob(Job):
    """A job with what the device is to compute.

    Attributes:
        inputs: ``inputs[i]`` has ``lengths[i]`` tokens.
        width: numbers in a row of the result.
    """

    inputs: Sequence[Sized]
    width: int


@dataclass(frozen=True, slots=True)
class Landed:
    """A batch that the device has computed.

    Attributes:
        rows: ``(inputs, width)`` float32, in the order of the batch's pieces.
        computed_tokens: padding counted.
        seconds: from its launch, or from when the device was free for it.
        busy_s: the part of them in which no batch before it was under way.
    """

    batch: Batch
    rows: Vectors
    computed_tokens: int
    seconds: float
    busy_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    """A batch in flight, and whether it tells when it is done."""

    batch: Batch
    launched: Launched
    tells: bool


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told, on the device thread, how things ended.

    Attributes:
        landed: a batch was computed.
        failed: these inputs will not be, for this reason.
        split: a batch did not fit into memory and is tried again in halves.
        expired: these jobs' deadlines passed before their turn came.
        ended: the thread ends by an error and nothing will be computed any more.
    """

    landed: Callable[[Landed], None]
    failed: Callable[[Sequence[Piece], Exception], None]
    split: Callable[[Batch], None]
    expired: Callable[[Sequence[Job]], None]
    ended: Callable[[BaseException], None]


class DeviceThread:
    """The loop of the device thread; ``drive`` is its main function.

    Args:
        scheduler: only touched while holding ``changed``.
        changed: notified when there may be something new to launch.
        depth: batches in flight at a time.
    """

    def __init__(
        self,
        forwards: Mapping[str, Forward],
        scheduler: Scheduler,
        changed: threading.Condition,
        depth: int,
        listener: Listener,
    ) -> None:
        self._forwards = forwards
        self._scheduler = scheduler
        self._changed = changed
        self._depth = depth
        self._listener = listener
        self._flying: list[_Flight] = []
        self._free_since = 0.0
        self._is_stopping = False

    def stop(self) -> None:
        """Have ``drive`` return when what is in flight has landed."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def drive(self) -> None:
        """Launch and land batches until ``stop``."""
        try:
            while self._flying or not self._is_stopping:
                batch = self._next()
                if batch:
                    self._launch(batch)
                for flight in self._arrivals(is_idle=batch is None):
                    self._land(flight)
        except BaseException as error:
            # The edge of a thread: whatever ends it must not leave a caller waiting.
            self._listener.ended(error)
            raise

    def _next(self) -> Batch | None:
        """The next batch, as soon as there is one; None as soon as something in flight can be landed."""
        with self._changed:
            while True:
                batch = None if self._is_stopping else self._scheduler.take(time.monotonic())
                expired = self._scheduler.pop_expired()
                if expired:
                    self._listener.expired(expired)
                has_landed = any(flight.launched.is_done for flight in self._flying)
                if batch or has_landed or not all(flight.tells for flight in self._flying):
                    return batch
                if self._is_stopping and not self._flying:
                    return None
                self._changed.wait()

    def _arrivals(self, *, is_idle: bool) -> list[_Flight]:
        """What is done. Where nothing can tell, the oldest, to be waited for, if there is nothing else to do."""
        done = [flight for flight in self._flying if flight.launched.is_done]
        is_full = len(self._flying) >= self._depth
        if not done and (is_idle or is_full) and not all(flight.tells for flight in self._flying):
            done = [self._flying[0]]
        for flight in done:
            self._flying.remove(flight)
        return done

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _launch(self, batch: Batch) -> None:
        inputs: list[Sized] = []
        for piece in batch.pieces:
            assert isinstance(piece.job, DeviceJob)  # noqa: S101  no other kind is submitted
            inputs += piece.job.inputs[piece.first : piece.last]
        try:
            launched = self._forwards[batch.model].launch(inputs)
            flight = _Flight(batch, launched, launched.tell(self._wake))
        except Exception as error:  # a loop edge: a failed forward fails its callers, never the loop
            failure = error.with_traceback(None)  # its frames would hold on to tensors
        else:
            self._flying.append(flight)
            return
        self._fail(batch, failure)

    def _land(self, flight: _Flight) -> None:
        batch, launched = flight.batch, flight.launched
        # One after the other, a batch that was launched behind another one had the device from when that one landed.
        started = batch.launched_at if flight.tells else max(self._free_since, batch.launched_at)
        try:
            rows = launched.result()
            expected = (batch.size, _width(batch))
            if rows.shape != expected:
                raise ValueError(f"{batch.size} inputs gave rows of shape {rows.shape}, not {expected}")
        except Exception as error:  # as in _launch
            failure = error.with_traceback(None)
        else:
            ended, free_since = time.monotonic(), max(self._free_since, batch.launched_at)
            self._free_since = ended
            landed = Landed(batch, rows, launched.computed_tokens, ended - started, ended - free_since)
            with self._changed:
                self._scheduler.done(batch, landed.computed_tokens, landed.seconds)
            self._listener.landed(landed)
            return
        self._free_since = time.monotonic()
        self._fail(batch, failure)

    def _fail(self, batch: Batch, error: Exception) -> None:
        """Halves where memory was short; else the end of everything in the batch."""
        unfit: Sequence[Piece] = batch.pieces
        with self._changed:
            if isinstance(error, DeviceMemoryError):
                unfit = self._scheduler.out_of_memory(batch)
            else:
                self._scheduler.failed(batch)
            for piece in unfit:
                self._scheduler.cancel(piece.job)  # the rest of a call that failed is not computed
        if unfit:
            self._listener.failed(unfit, error)
        else:
            self._listener.split(batch)


def _width(batch: Batch) -> int:
    job = batch.pieces[0].job
    assert isinstance(job, DeviceJob)  # noqa: S101  no other kind is submitted
    return job.width
