"""The clock: deadlines go by the monotonic one, ages of snapshots and records of keys by the other."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from service.doctor.check import Finding, failure, ok

_FIRST_YEAR, _LAST_YEAR = 2025, 2100
_SLEPT_S = 0.05
# Part of the time slept that the two may differ by: NTP slews by 0.0005, a virtual machine that stops by much more.
_TOLERANCE_S = 1.0


def look_at_clock(
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Finding]:
    """Is it a year that can be, and do both clocks go at one pace?"""
    year = datetime.fromtimestamp(wall(), UTC).year
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        yield failure("clock", f"it says the year is {year}", "set it: certificates, keys and ages go by it")
        return
    wall_start, start = wall(), monotonic()
    sleep(_SLEPT_S)
    walled, passed = wall() - wall_start, monotonic() - start
    if passed <= 0 or abs(walled - passed) > _TOLERANCE_S:
        found = f"while {passed:.3f} s passed, the wall clock moved by {walled:.3f} s"
        yield failure("clock", found, "find out what sets it: deadlines and ages would be wrong")
    else:
        yield ok("clock", f"{datetime.fromtimestamp(wall(), UTC):%Y-%m-%d %H:%M:%S} UTC, monotonic in step")
