"""Which device the settings of the index come to, with a pretended card."""

import pytest

from indexes import gpu_placement
from indexes.errors import DeviceError, SelfTestError
from indexes.gpu_placement import CardPlacer
from indexes.gpu_probe import Capabilities
from service import index_policy as module
from service.index_policy import index_policy
from service.index_settings import IndexSettings


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "capabilities", lambda: Capabilities(2, ("classic",)))
    monkeypatch.setattr(CardPlacer, "check", lambda self: None)


@pytest.fixture
def wrong_answers(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: CardPlacer) -> None:
        raise SelfTestError("l2: exact scores are off")

    monkeypatch.setattr(gpu_placement.CardPlacer, "check", check)


def test_without_a_gpu_the_index_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "capabilities", lambda: Capabilities(0, ()))
    policy = index_policy(IndexSettings(seal_rows=300, shadow_share=0.5))
    assert (policy.device, policy.place, policy.seal_rows, policy.shadow_share) == ("cpu", None, 300, 0.5)
    with pytest.raises(DeviceError, match="'cuda:0' is not there"):
        index_policy(IndexSettings(device="cuda:0"))


@pytest.mark.parametrize(("wanted", "device"), [("auto", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_gpu_that_answers_is_used(two_gpus: None, wanted: str, device: str) -> None:
    policy = index_policy(IndexSettings(device=wanted, device_bytes=123))
    assert policy.device == device
    assert isinstance(policy.place, CardPlacer)


def test_the_cpu_is_used_where_it_is_named(two_gpus: None) -> None:
    assert index_policy(IndexSettings(device="cpu")).place is None


def test_a_gpu_with_wrong_answers_is_left_alone_or_refused(wrong_answers: None) -> None:
    policy = index_policy(IndexSettings())
    assert (policy.device, policy.place) == ("cpu", None)
    with pytest.raises(SelfTestError, match="are off"):
        index_policy(IndexSettings(device="cuda:0"))
