"""Engine: several models on one device, and the callers that wait for them.

Callers live on the event loop, forwards on the device thread. No trip through the loop lies between two forwards, and
all callers of a batch are answered in one call into the loop.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

import numpy as np

from models.base import DeviceLostError
from service.admission import EngineLimits, admit
from service.call import Call, Computed, Told, Work, call_of
from service.device import DeviceThread, Landed, Listener
from service.errors import EmbedderUnavailableError
from service.scheduling.job import Batch, Job, Lane, Piece
from service.scheduling.scheduler import Policy, Scheduler
from service.served_model import ServedModel
from service.telemetry.device import DeviceMetrics

# Below this many characters a call is tokenized on the event loop: the hop to a thread would cost more.
_INLINE_CHARACTERS = 1024
# Texts tokenized at a time: a caller that leaves is noticed in between, and short calls come through.
_TOKENIZED_TEXTS = 64
_TOKENIZER_THREADS = 2
# For a forward that is under way when the server stops.
_STOP_S = 10.0
_STOPPING = "the server is stopping"

_log = logging.getLogger("quarry.engine")


class Engine:
    """Runs forwards for concurrent callers; an async context manager that owns its threads.

    Attributes:
        is_stuck: after its end: a forward did not come back, and its thread cannot be ended.

    Args:
        models: by name; each is called on the device thread only.
        device: the thread that loaded the models, from here on owned here. OpenMP keeps a pool of workers for each
            thread that ever called it, and with more workers than cores its hand-overs are several times slower.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        policy: Policy,
        limits: EngineLimits,
        metrics: DeviceMetrics,
        device: ThreadPoolExecutor,
        told: Told = Told(),  # noqa: B008  it cannot be changed
    ) -> None:
        self.models = models
        self._limits = limits
        self._metrics = metrics
        self._device = device
        self._told = told
        self._scheduler = Scheduler(policy, {name: model.capacity for name, model in models.items()})
        self._changed = threading.Condition()
        listener = Listener(
            landed=lambda landed: self._tell(self._landed, landed),
            failed=lambda pieces, error: self._tell(self._failed, pieces, error),
            split=lambda batch: self._tell(self._split, batch),
            expired=lambda jobs: self._tell(self._expired, jobs),
            ended=lambda error: self._tell(self._lost, f"the device thread ended: {error!r}"),
        )
        forwards = {name: model.forward for name, model in models.items()}
        self._thread = DeviceThread(forwards, self._scheduler, self._changed, policy.depth, listener)
        self._tokenizers = ThreadPoolExecutor(_TOKENIZER_THREADS, thread_name_prefix="quarry-tokenizer")
        self._ended: str | None = _STOPPING
        self._stalled: str | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.is_stuck = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended = None
        self._driving = self._loop.run_in_executor(self._device, self._thread.drive)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = self._ended or _STOPPING
        self._thread.stop()
        self._fail_waiting(EmbedderUnavailableError(_STOPPING))
        await asyncio.wait({self._driving}, timeout=_STOP_S)
        self.is_stuck = not self._driving.done()
        await asyncio.sleep(0)  # lets the loop hand out what the device thread said last
        # What ran out of memory meanwhile waits again, and what is stuck will not come back.
        self._fail_waiting(EmbedderUnavailableError(_STOPPING))
        self._fail_flying(EmbedderUnavailableError(_STOPPING))
        if not self.is_stuck:
            self._driving.exception()  # told already, to everybody
        if self._watchdog:
            self._watchdog.cancel()
        self._device.shutdown(wait=not self.is_stuck)
        await asyncio.to_thread(self._tokenizers.shutdown)

    @property
    def trouble(self) -> str | None:
        """Why no forward can be expected to end; None while all is well."""
        return self._ended or self._stalled

    def queued_tokens(self, lane: Lane) -> int:
        """Tokens that wait in a lane."""
        with self._changed:
            return self._scheduler.waiting_tokens(lane)

    def expected_wait_s(self, model: str, lane: Lane) -> float:
        """Seconds until a call of a model that comes now would be launched, by the fitted costs."""
        with self._changed:
            return self._scheduler.expected_wait_s(model, lane, time.monotonic())

    def describe(self) -> dict[str, object]:
        """What waits, and the budget and the fitted cost of each model."""
        return {
            "trouble": self.trouble,
            "queued_tokens": {lane.value: self.queued_tokens(lane) for lane in Lane},
            "models": {name: model.describe() for name, model in self.models.items()},
        }

    def tighten(self, cause: str | None) -> None:
        """Let no more queries wait than one forward takes, which keeps the device busy; None lifts that.

        Args:
            cause: named to those who are refused for it.
        """
        tokens = max((model.capacity.tokens for model in self.models.values()), default=0)
        self._limits = replace(self._limits, query_tokens=None if cause is None else tokens, cause=cause or "")

    def measure(self) -> None:
        """Set the gauges."""
        for lane in Lane:
            self._metrics.queue_tokens.labels(lane).set(self.queued_tokens(lane))
        for name, model in self.models.items():
            self._metrics.budget_tokens.labels(name, Lane.QUERY).set(model.capacity.tokens)
            self._metrics.budget_tokens.labels(name, Lane.BULK).set(model.capacity.bulk_tokens)
            self._metrics.cost_error.labels(name).set(model.capacity.cost.error)

    # A call, from its admission to its answer

    async def run(self, work: Work) -> Computed:
        """Rows of all texts, all or nothing. Cancelling the call drops what has not been launched.

        Raises:
            OverloadedError: the lane has no room for all of it, or would take too long.
            DeadlineExceededError: its time ran out in ``tokenize`` or in ``queue``.
            EmbedderUnavailableError: a forward failed, the device is stuck or lost, or the server is stopping.
        """
        asked_at = time.monotonic()
        self._admit(work)
        try:
            inputs = await self._tokenized(work)
            tokenize_s = time.monotonic() - asked_at
            call = self._call(work, inputs)
        except asyncio.CancelledError:
            self._metrics.cancelled_tokens.labels("announced").inc(work.tokens)
            raise
        finally:
            with self._changed:
                self._scheduler.withdraw(work.lane, work.tokens)
        self._submit(call)
        try:
            await call.answer
        except asyncio.CancelledError:
            await self._told.spent(work.caller, self._cancel(call))
            if work.deadline and not work.deadline.remaining():
                self._metrics.deadline_misses.labels("embed").inc()
            raise
        tokens, queue_s = sum(call.lengths), call.launched_at - asked_at
        await self._told.spent(work.caller, tokens)
        self._metrics.queue_seconds.labels(work.lane).observe(queue_s)
        return Computed(call.rows, tokens, queue_s, call.forward_s, tokenize_s)

    def _admit(self, work: Work) -> None:
        """Announce the work's tokens, or refuse it whole, before anything is spent on it."""
        self._check()
        with self._changed:
            admit(work, self._scheduler, self._limits, time.monotonic())

    def _check(self) -> None:
        """Nobody would ever answer a call that came after the end."""
        if self.trouble:
            raise EmbedderUnavailableError(self.trouble)

    async def _tokenized(self, work: Work) -> Sequence[Sized]:
        if work.characters <= _INLINE_CHARACTERS:
            return work.tokenize(slice(None))
        inputs: list[Sized] = []
        for first in range(0, work.count, _TOKENIZED_TEXTS):
            if work.deadline and not work.deadline.remaining():
                self._metrics.deadline_misses.labels("tokenize").inc()
                raise work.deadline.exceeded("tokenize")
            self._check()  # the tokenizers too are gone after a stop
            part = slice(first, first + _TOKENIZED_TEXTS)
            inputs += await self._loop.run_in_executor(self._tokenizers, work.tokenize, part)
        return inputs

    def _call(self, work: Work, inputs: Sequence[Sized]) -> Call:
        width = self.models[work.model].width
        return Call(
            model=work.model,
            lane=work.lane,
            key=work.caller,
            lengths=[len(tokens) for tokens in inputs],
            deadline=work.deadline.at if work.deadline else math.inf,
            inputs=inputs,
            width=width,
            rows=np.empty((len(inputs), width), np.float32),
            answer=self._loop.create_future(),
            limit=work.deadline,
            missing=len(inputs),
        )

    def _submit(self, call: Call) -> None:
        self._check()
        with self._changed:
            self._scheduler.submit(call, time.monotonic())
            self._changed.notify()
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._limits.stall_s, self._look)

    def _cancel(self, call: Call) -> int:
        with self._changed:
            unspent = self._scheduler.cancel(call)
        self._metrics.cancelled_tokens.labels("queued").inc(unspent)
        spent = sum(call.lengths) - unspent
        self._metrics.cancelled_tokens.labels("launched").inc(spent)
        return spent

    # What the device thread says, on the event loop

    def _tell(self, what: Callable[..., None], *said: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *said)

    def _landed(self, landed: Landed) -> None:
        self._recover()
        first = 0
        for piece in landed.batch.pieces:
            call = call_of(piece)
            call.launched_at = max(call.launched_at, landed.batch.launched_at)
            call.forward_s += landed.seconds
            rows = landed.rows[first : first + piece.size]
            first += piece.size
            if np.isfinite(rows).all():
                call.fill(piece, rows)
            else:
                self._spoil(call)
        self._metrics.count(landed)

    def _spoil(self, call: Call) -> None:
        """Half precision can overflow; such a vector must reach neither an index nor a cache."""
        self._metrics.batch_failures.inc()
        with self._changed:
            self._scheduler.cancel(call)
        call.fail(EmbedderUnavailableError(f"{call.model} gave values that are not numbers"))

    def _failed(self, pieces: Sequence[Piece], error: Exception) -> None:
        self._recover()
        self._metrics.batch_failures.inc()
        reason = f"the forward failed: {type(error).__name__}: {error}"
        for piece in pieces:
            call_of(piece).fail(EmbedderUnavailableError(reason))
        if isinstance(error, DeviceLostError):
            self._lost(reason)

    def _split(self, batch: Batch) -> None:
        self._recover()
        self._metrics.oom_splits.inc()
        _log.warning("a batch did not fit into the device's memory", extra={"tokens": batch.tokens})

    def _expired(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert isinstance(job, Call) and job.limit  # noqa: S101  only calls with a deadline expire
            self._metrics.deadline_misses.labels("queue").inc()
            job.fail(job.limit.exceeded("queue"))

    def _lost(self, reason: str) -> None:
        """The end: nobody is left waiting, and nobody is taken on."""
        if self._ended:
            return
        _log.critical(reason)
        self._ended = reason
        self._fail_waiting(EmbedderUnavailableError(reason))
        self._fail_flying(EmbedderUnavailableError(reason))
        self._told.lost()

    # When the device is stuck

    def _recover(self) -> None:
        """A batch came back: all is well unless another one is still under way for too long."""
        if self._stalled and self._oldest_age_s() < self._limits.stall_s:
            self._stalled = None

    def _oldest_age_s(self) -> float:
        """For how long the oldest batch has been under way; 0 where none is."""
        with self._changed:
            launched = [batch.launched_at for batch in self._scheduler.in_flight]
        return max(0.0, time.monotonic() - min(launched)) if launched else 0.0

    def _look(self) -> None:
        """The watchdog: as long as there is work, look again; fail everybody when the oldest batch takes too long."""
        self._watchdog = None
        with self._changed:
            is_busy = bool(self._scheduler.in_flight) or any(self._scheduler.waiting_tokens(lane) for lane in Lane)
        age_s, again_s = self._oldest_age_s(), self._limits.stall_s
        if age_s >= self._limits.stall_s:
            self._stall(age_s)
        else:
            again_s -= age_s
        if is_busy and not self._ended:
            self._watchdog = self._loop.call_later(again_s, self._look)

    def _stall(self, age_s: float) -> None:
        self._stalled = f"a batch has been under way for {age_s:.0f} s; the limit is {self._limits.stall_s:g} s"
        _log.error(self._stalled)
        self._fail_waiting(EmbedderUnavailableError(self._stalled))
        self._fail_flying(EmbedderUnavailableError(self._stalled))

    def _fail_waiting(self, error: Exception) -> None:
        with self._changed:
            jobs = self._scheduler.drop_all()
        for job in jobs:
            assert isinstance(job, Call)  # noqa: S101  no other kind is submitted
            job.fail(error)

    def _fail_flying(self, error: Exception) -> None:
        with self._changed:
            pieces = [piece for batch in self._scheduler.in_flight for piece in batch.pieces]
        for piece in pieces:
            call_of(piece).fail(error)
