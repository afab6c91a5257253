"""States of GPUs as gauges, and a watch that a hung driver cannot hold up."""

import threading
from collections.abc import Callable, Iterator

import anyio
import pytest
from prometheus_client import CollectorRegistry

from service.telemetry.gpu import CLOCKS_EVENT_REASONS, AbsentGpus, GpuState, RecordedGpus
from service.telemetry.gpu_metrics import GpuMetrics
from service.telemetry.gpu_watch import GpuWatch

Recorded = Callable[[str], RecordedGpus]
PATIENCE_S = 200.0


class Gauges:
    """A registry that follows states."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = GpuMetrics(self._registry)

    def follow(self, state: GpuState) -> None:
        self._metrics.follow(state)

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"quarry_gpu_{name}", {"device": "cuda:0", **labels})


def test_a_healthy_device(recorded: Recorded) -> None:
    gauges = Gauges()
    gauges.follow(recorded("healthy").read())
    kinds = ("total", "used", "reserved", "free")
    total, *parts = (gauges.value("memory_bytes", kind=kind) for kind in kinds)
    assert all(parts)
    assert sum(part or 0 for part in parts) == total
    reasons = {name: gauges.value("clocks_event_reason", reason=name) for name in CLOCKS_EVENT_REASONS.values()}
    assert reasons == {name: float(name == "gpu_idle") for name in reasons}
    assert gauges.value("ecc_errors", kind="aggregate_corrected") == 2
    assert gauges.value("ecc_errors", kind="volatile_uncorrected") == 0
    assert gauges.value("up") == 1


def test_critical_errors_are_counted_once(recorded: Recorded) -> None:
    gauges, reader = Gauges(), recorded("xid")
    gauges.follow(reader.read())
    assert gauges.value("xid_events_total", xid="79") is None
    for _ in range(2):
        gauges.follow(reader.read())
        assert gauges.value("xid_events_total", xid="79") == 1
        assert gauges.value("xid_events_total", xid="31") == 3
    assert gauges.value("clocks_event_reason", reason="hw_thermal_slowdown") == 1
    assert gauges.value("ecc_errors", kind="volatile_uncorrected") == 1


def test_what_a_device_does_not_tell_has_no_sample(recorded: Recorded) -> None:
    gauges = Gauges()
    gauges.follow(recorded("ecc_unsupported").read())
    assert gauges.value("ecc_errors", kind="volatile_uncorrected") is None
    assert gauges.value("memory_bytes", kind="used")


def test_a_lost_device_is_a_state(recorded: Recorded) -> None:
    gauges, reader = Gauges(), recorded("lost")
    gauges.follow(reader.read())
    assert gauges.value("up") == 1
    gauges.follow(reader.read())
    assert gauges.value("up") == 0
    assert gauges.value("memory_bytes", kind="used") is None
    assert gauges.value("xid_events_total", xid="79") == 1


def test_no_device_is_a_state() -> None:
    gauges = Gauges()
    gauges.follow(AbsentGpus("no driver").read())
    assert gauges.value("up") is None


class Hung:
    """A driver that answers the first read, and the next ones when it is let go."""

    def __init__(self, inner: RecordedGpus) -> None:
        self._inner = inner
        self.let_go = threading.Event()
        self.let_go.set()
        self.reads = 0

    def read(self) -> GpuState:
        self.reads += 1
        assert self.let_go.wait(PATIENCE_S)
        return self._inner.read()

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def hung(recorded: Recorded) -> Iterator[Hung]:
    reader = Hung(recorded("healthy"))
    yield reader
    reader.let_go.set()


def test_a_driver_that_hangs_is_waited_for_once(hung: Hung) -> None:
    async def watched() -> None:
        async with GpuWatch(lambda: hung, read_s=0.05) as watch:
            while (state := await watch.read()).absent:  # a slow machine may need more than one look
                pass
            (healthy,) = state.gpus
            assert healthy.trouble is None
            reads = hung.reads
            hung.let_go.clear()
            for _ in range(3):
                (gpu,) = (await watch.read()).gpus
                assert (gpu.device, gpu.uuid, gpu.memory) == (healthy.device, healthy.uuid, None)
                assert gpu.trouble is not None
                assert gpu.trouble.startswith("the driver has not answered")
            assert hung.reads == reads + 1
            hung.let_go.set()
            with anyio.fail_after(PATIENCE_S):
                while (await watch.read()).gpus[0].trouble:
                    pass

    anyio.run(watched)


def test_the_reader_is_closed_unless_it_hangs(recorded: Recorded) -> None:
    async def watched(reader: RecordedGpus | Hung) -> None:
        async with GpuWatch(lambda: reader, read_s=PATIENCE_S) as watch:
            assert (await watch.read()).gpus

    reader = recorded("healthy")
    anyio.run(watched, reader)
    assert reader.is_closed


def test_a_reader_that_hangs_is_left_alone(recorded: Recorded) -> None:
    inner = recorded("healthy")
    hung = Hung(inner)
    hung.let_go.clear()

    async def watched() -> None:
        async with GpuWatch(lambda: hung, read_s=0.05) as watch:
            assert (await watch.read()).absent == "the driver has not answered yet"

    anyio.run(watched)
    assert not inner.is_closed
    hung.let_go.set()


def test_nobody_reads_before_somebody_asks() -> None:
    def opened() -> RecordedGpus:
        raise AssertionError("opened")

    async def unwatched() -> None:
        async with GpuWatch(opened):
            pass

    anyio.run(unwatched)
