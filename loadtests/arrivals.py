"""Arrivals of an open loop: when each request is to start, drawn before the first of them does.

Users who wait for a reply before they send again slow down with the server, and what they would have met meanwhile is
never measured: coordinated omission. These arrivals form a Poisson process whose rate depends on time alone; latency
counts from the intended start, and one that cannot be started is counted as missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.route import Route, Weights
from loadtests.shape import Shape


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request before it is sent.

    Attributes:
        number: its place among all of the run, from 0.
        at_s: its intended start, in seconds of the run.
    """

    number: int
    at_s: float
    route: Route


def drawn(shape: Shape, weights: Weights, seed: int) -> Sequence[Arrival]:
    """A Poisson process of this rate, in order of time; equal arguments give equal arrivals.

    The points of a process of the peak rate are uniform given their number; each is kept with the share of that rate
    that its time has (Lewis and Shedler, 1979).
    """
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.0, shape.seconds, rng.poisson(shape.peak * shape.seconds)))
    kept = times[rng.random(len(times)) * shape.peak < shape.rates(times)]
    shares = np.array(list(weights.values()))
    routes = rng.choice(len(weights), size=len(kept), p=shares / shares.sum())
    names = list(weights)
    return [
        Arrival(number, at_s, names[route])
        for number, (at_s, route) in enumerate(zip(kept.tolist(), routes.tolist(), strict=True))
    ]
