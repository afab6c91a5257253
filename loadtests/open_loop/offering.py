"""Offering: one run of the driver, from its plan to a line for every arrival."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group
from gevent.timeout import Timeout
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketResponse

from loadtests.arrivals import Arrival
from loadtests.open_loop.connections import Connections
from loadtests.open_loop.dispatch import Dispatch
from loadtests.open_loop.judged import MALFORMED, ChatStream, Judged, QueryStream, Stream, broken, refused, whole
from loadtests.open_loop.outgoing import Desk
from loadtests.plan import Plan, Summary
from loadtests.route import Route
from loadtests.sample import Outcome, Sample

_OK = range(200, 300)
# After the last request was given up: its greenlet has to hear of it.
_END_S = 5.0

Fired = Callable[[Sample], None]


@dataclass(slots=True)
class Moments:
    """Seconds of the run at which a reply came.

    Attributes:
        texts: of each piece of text.
    """

    started_s: float
    texts: list[float] = field(default_factory=list)

    @property
    def itl_ms(self) -> list[float]:
        """Between two pieces of text."""
        pairs = zip(self.texts, self.texts[1:], strict=False)
        return [round((later - earlier) * 1000, 3) for earlier, later in pairs]


class RunClock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def now_s(self) -> float:
        """Of the run."""
        return time.monotonic() - self.began

    def sleep(self, seconds: float) -> None:
        """Let requests go on."""
        gevent.sleep(seconds)


class GreenPlaces:
    """Places of greenlets."""

    def __init__(self, count: int) -> None:
        self._free = BoundedSemaphore(count)

    def take(self, within_s: float) -> bool:
        """Whether one was free in that time."""
        return bool(self._free.acquire(timeout=within_s))

    def give_back(self) -> None:
        """A request has ended."""
        self._free.release()


class Offering:
    """Sends what arrives.

    Args:
        headers: of every request.
        fire: is told of every sample.
    """

    def __init__(self, plan: Plan, desk: Desk, headers: Mapping[str, str], fire: Fired) -> None:
        self._plan = plan
        self._desk = desk
        self._headers = {"Content-Type": "application/json", **headers}
        self._fire = fire
        self._connections = Connections(plan.url, plan.timeout_s)
        self._places = GreenPlaces(plan.places)
        self._under_way = Group()

    def run(self) -> None:
        """Offer every arrival, wait for the last reply, and write the driver's own figures."""
        arrivals, clock, cpu_s = self._plan.arrivals(), RunClock(), time.process_time()
        with self._plan.samples.open("wb", buffering=1 << 16) as out:

            def ended(sample: Sample) -> None:
                out.write(sample.as_line())
                self._fire(sample)

            def start(arrival: Arrival) -> None:
                self._under_way.spawn(self._one, arrival, clock, ended)

            def miss(arrival: Arrival, why: str) -> None:
                ended(Sample(arrival.number, arrival.route, arrival.at_s, Outcome.MISSED, detail=why))

            Dispatch(clock, self._places, start, miss, self._plan.late_s).run(arrivals)
            self._under_way.join(self._plan.timeout_s + _END_S)
        self._connections.close()
        summary = Summary(began=clock.began, cpu_s=time.process_time() - cpu_s)
        self._plan.summary.write_text(summary.model_dump_json())

    def _one(self, arrival: Arrival, clock: RunClock, ended: Fired) -> None:
        try:
            started_s = clock.now_s()
            if started_s > arrival.at_s + self._plan.late_s:
                ended(Sample(arrival.number, arrival.route, arrival.at_s, Outcome.MISSED, detail="late"))
                return
            moments = Moments(started_s)
            judged = self._judged(arrival, moments, clock)
            ended(_sample(arrival, moments, judged, clock.now_s()))
        finally:
            self._places.give_back()

    def _judged(self, arrival: Arrival, moments: Moments, clock: RunClock) -> Judged:
        try:
            with Timeout(self._plan.timeout_s), self._connections.one() as client:
                outgoing = self._desk.outgoing(arrival)
                response = client.once(outgoing.method, outgoing.path, outgoing.body, self._headers)
                return _read(arrival.route, response, moments, clock)
        except (Timeout, TimeoutError):
            return Judged(Outcome.TIMEOUT, None, detail=f"no end within {self._plan.timeout_s:g} s")
        except (HTTPConnectionClosed, HTTPParseError, OSError) as error:
            return Judged(Outcome.HANG_UP, None, detail=f"{type(error).__name__}: {error}")


def _read(route: Route, response: HTTPSocketResponse, moments: Moments, clock: RunClock) -> Judged:
    status = response.status_code
    if status not in _OK:
        return refused(status, response.read())
    if not route.is_streamed:
        return whole(route, status, response.read())
    stream: Stream = QueryStream() if route is Route.STREAM else ChatStream()
    try:
        while frame := response.readline(b"\n\n"):
            at_s = clock.now_s()
            if stream.take(frame):
                moments.texts.append(at_s)
        return stream.judged(status)
    except MALFORMED as error:
        response.release()
        return broken(status, f"{type(error).__name__}: {error}")


def _sample(arrival: Arrival, moments: Moments, judged: Judged, ended_s: float) -> Sample:
    return Sample(
        arrival.number,
        arrival.route,
        arrival.at_s,
        judged.outcome,
        started_s=moments.started_s,
        first_s=moments.texts[0] if moments.texts else None,
        ended_s=ended_s,
        itl_ms=moments.itl_ms,
        status=judged.status,
        is_degraded=judged.is_degraded,
        detail=judged.detail,
    )
