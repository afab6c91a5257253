"""The GPUs as the parent reads them: once, and not for ever."""

import threading

import pytest

from service.telemetry.gpu import GpuState
from service.up.errors import UpError
from service.up.parent import gpus_within

PATIENCE_S = 60.0


class Driver:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.is_closed = False

    def read(self) -> GpuState:
        self.may_answer.wait(PATIENCE_S)
        return GpuState(driver="570.1")

    def close(self) -> None:
        self.is_closed = True


def test_what_the_driver_says() -> None:
    driver = Driver()
    driver.may_answer.set()
    assert gpus_within(PATIENCE_S, lambda: driver).driver == "570.1"


def test_a_driver_that_does_not_return_is_left_alone() -> None:
    driver = Driver()
    with pytest.raises(UpError, match=r"the NVIDIA driver did not say in 0\.05 s which GPUs there are"):
        gpus_within(0.05, lambda: driver)
    driver.may_answer.set()


def test_what_fails_there_is_raised_here() -> None:
    def broken() -> Driver:
        raise RuntimeError("nobody foresaw this")

    with pytest.raises(RuntimeError, match="foresaw"):
        gpus_within(PATIENCE_S, broken)
