"""What the machine gives: disk, clock, limits, processor, GPUs."""

import os
import resource
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from indexes.gpu_probe import Capabilities
from service.doctor import disk
from service.doctor.accelerators import look_at_faiss, look_at_gpus
from service.doctor.check import Finding, Status
from service.doctor.clock import look_at_clock
from service.doctor.disk import look_at_disk
from service.doctor.limits import look_at_files, look_at_mappings, look_at_memory, needed_files
from service.doctor.processor import look_at_processor
from service.settings import Settings
from service.telemetry.gpu import EccErrors, GpuMemory, GpuReading, GpuState

Failed = Callable[[Iterable[Finding]], Finding]
GIB = 1 << 30


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_directory_that_will_do(tmp_path: Path) -> None:
    found = by_name(look_at_disk(tmp_path / "quarry-data"))
    assert set(found) == {"data directory", "disk space", "file system", "fsync"}
    assert not any(finding.status is Status.FAILURE for finding in found.values())
    assert not list(tmp_path.iterdir())


def test_a_directory_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    assert by_name(look_at_disk(tmp_path / "data"))["data directory"].status is Status.OK
    for mode in (0o750, 0o701, 0o777):
        (tmp_path / "data").chmod(mode)
        finding = by_name(look_at_disk(tmp_path / "data"))["data directory"]
        assert (finding.status, finding.advice) == (Status.WARNING, f"chmod 700 {tmp_path / 'data'}")
        assert f"mode {mode:o}" in finding.found


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, failed: Failed, unprivileged: None) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written to" in failed(look_at_disk(tmp_path / "data")).found


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions count, also for a root that is asked whether it may write."""
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, mode: bool(Path(path).stat().st_mode & 0o200))


def test_a_file_where_the_directory_should_be(tmp_path: Path, failed: Failed) -> None:
    (tmp_path / "data").touch()
    assert failed(look_at_disk(tmp_path / "data")).name == "data directory"


def test_a_disk_that_is_full(tmp_path: Path, failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    full = psutil.disk_usage(str(tmp_path))._replace(free=1 << 20)
    monkeypatch.setattr(psutil, "disk_usage", lambda _: full)
    assert failed(look_at_disk(tmp_path)).name == "disk space"


@pytest.mark.parametrize(("kind", "status"), [("nfs4", "warning"), ("tmpfs", "warning"), ("ext4", "ok")])
def test_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, status: str) -> None:
    monkeypatch.setattr(disk, "file_system", lambda _: kind)
    assert by_name(look_at_disk(tmp_path))["file system"].status.value == status


def test_the_file_system_is_that_of_the_deepest_mount() -> None:
    assert disk.file_system(Path("/proc/self")) == "proc"


def test_a_disk_that_cannot_make_anything_durable(
    tmp_path: Path, failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    assert "Input/output error" in failed(look_at_disk(tmp_path)).found


def test_open_files() -> None:
    settings = Settings(llm={"main": {"url": "http://127.0.0.1:9", "model": "m", "max_streams": 100}})
    assert needed_files(settings, 10) - needed_files(settings, 0) > needed_files(Settings(), 0) / 10
    assert needed_files(settings, 0) - needed_files(Settings(), 0) == 100
    several = Settings(llm={"main": {"urls": ["http://a", "http://b"], "model": "m", "max_streams": 100}})
    assert needed_files(several, 0) - needed_files(Settings(), 0) == 200
    (found,) = look_at_files(Settings(), 0)
    assert found.status is Status.OK


def test_too_few_open_files(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 256))
    found = failed(look_at_files(Settings(), 0))
    assert "the hard limit is 256" in found.found
    assert "ulimit -H -n" in found.advice


def test_a_soft_limit_on_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 1 << 20))
    (found,) = look_at_files(Settings(), 0)
    assert found.status is Status.OK


def test_mapped_files() -> None:
    for granted in (None, 65_530):
        (found,) = look_at_mappings(100, granted)
        assert found.status is Status.OK
    (found,) = look_at_mappings(5000, 65_530)
    assert found.status is Status.WARNING
    assert found.advice == "sysctl -w vm.max_map_count=128192"


def test_memory(tmp_path: Path) -> None:
    (found,) = look_at_memory(tmp_path)
    assert "no limit by a control group" in found.found
    limits = {"memory.max": f"{3 * GIB}\n", "memory.current": f"{2 * GIB}\n", "memory.stat": "inactive_file 0\n"}
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    (found,) = look_at_memory(tmp_path)
    assert (found.status, "allows 3.0 GiB" in found.found) == (Status.WARNING, True)


def test_a_clock_in_step(failed: Failed) -> None:
    (found,) = look_at_clock()
    assert found.status is Status.OK
    assert "1970" in failed(look_at_clock(wall=lambda: 0.0)).found
    walls = iter([1.8e9, 1.8e9, 1.8e9 + 3600])
    assert "moved by 3600" in failed(look_at_clock(wall=lambda: next(walls), sleep=lambda _: None)).found


def test_the_processor(tmp_path: Path) -> None:
    (found,) = look_at_processor()
    assert f"{len(os.sched_getaffinity(0))} cores" in found.found
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n")
    (found,) = look_at_processor(cpuinfo)
    assert found.found.endswith("bfloat16 in hardware (avx2, avx512f, avx512_bf16, amx_bf16)")
    (found,) = look_at_processor(tmp_path / "none")
    assert found.status is Status.OK


CARD = GpuReading("cuda:0", "GPU-1", "H200", GpuMemory(141 * GIB, 0, 141 * GIB), ecc=EccErrors(volatile_uncorrected=0))


def test_gpus(failed: Failed) -> None:
    driver, card = look_at_gpus(GpuState([CARD], driver="580"), ["auto"])
    assert (driver.status, card.status) == (Status.OK, Status.OK)
    assert "141.0 of 141.0 GiB free" in card.found
    hot = replace(CARD, clocks_event_reasons=["gpu_idle", "hw_thermal_slowdown"])
    assert list(look_at_gpus(GpuState([hot]), []))[1].status is Status.WARNING
    lost = replace(CARD, trouble="GPU is lost")
    assert "GPU is lost" in failed(look_at_gpus(GpuState([lost]), [])).found
    broken = replace(CARD, ecc=EccErrors(volatile_uncorrected=3))
    assert "3 uncorrected" in failed(look_at_gpus(GpuState([broken]), [])).found


def test_no_gpu_is_a_failure_where_one_is_named(failed: Failed) -> None:
    absent = GpuState(absent="the NVIDIA driver is not loaded")
    assert "name cuda:1" in failed(look_at_gpus(absent, ["auto", "cuda:1"])).found
    (found,) = look_at_gpus(absent, ["auto", "cpu"])
    assert found.status is Status.OK


def test_faiss(failed: Failed) -> None:
    (found,) = look_at_faiss(Settings(), Capabilities(0, ()))
    assert found.found == "a build for the CPU, 0 GPU(s) seen: index.device auto is cpu"
    (found,) = look_at_faiss(Settings(), Capabilities(1, ("cuvs",)))
    assert found.found.endswith("index.device auto is cuda:0")
    wanted = Settings(index={"device": "cuda:0"})
    assert "knows no GPUs" in failed(look_at_faiss(wanted, Capabilities(0, ()))).found
