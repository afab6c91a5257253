"""The two processes and their parent, each of which may die."""

import os
import signal
from collections.abc import Callable

import pytest

Running = Callable[[int], bool]


def test_vllm_starts_after_serve_holds_its_bulk_work(up) -> None:  # noqa: ANN001
    up.start()
    up.ready()
    (held,), (started,) = up.records("serve", "held"), up.records("vllm", "started")
    assert up.records("serve", "ready")[0]["at"] <= held["at"] <= started["at"]
    up.until(lambda: len(up.records("serve", "phase")) >= 2)
    assert [told["phase"] for told in up.records("serve", "phase")] == ["starting", "ready"]
    assert started["started"][-2:] == ["--scheduling-policy", "priority"]


def test_a_serve_that_never_holds_delays_the_start_no_longer_than_it_may(up) -> None:  # noqa: ANN001
    up.durations = {"held_s": 0.3}
    up.script(holds=False)
    up.start()
    up.ready()


def test_flags_that_this_vllm_does_not_list_are_left_out_and_it_is_asked_once(up) -> None:  # noqa: ANN001
    parent = up.start()
    up.ready()
    arguments = up.records("vllm", "started")[0]["started"]
    assert {word for word in arguments if word.startswith("--")} == {
        "--uds",
        "--served-model-name",
        "--scheduling-policy",
    }
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    up.start()
    up.ready()
    assert len([asked for asked in up.records("vllm", "asked") if asked["asked"] == "help"]) == 1


def test_the_environment_of_vllm_has_none_of_our_settings(up, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.setenv("QUARRY_LLM__MAIN__KEY", "secret")
    monkeypatch.setenv("VLLM_API_KEY", "of another server")
    up.start()
    up.ready()
    environment = up.records("vllm", "started")[0]["environment"]
    assert environment["VLLM_API_KEY"] == "secret"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert not [name for name in environment if name.startswith("QUARRY_") or name == "PYTHONPATH"]
    canary = up.records("vllm", "body")[0]
    assert canary["authorization"] == "Bearer secret"
    assert canary["body"]["max_tokens"] == 1
    assert canary["body"]["priority"] < 0


def test_a_canary_has_no_priority_where_the_operator_chose_another_policy(up) -> None:  # noqa: ANN001
    up.args = 'args = ["--scheduling-policy=fcfs"]'
    up.start()
    up.ready()
    assert "priority" not in up.records("vllm", "body")[0]["body"]


def test_serve_is_killed_and_comes_back_while_vllm_stays(up, running: Running) -> None:  # noqa: ANN001
    up.start()
    up.ready()
    vllm, serve = up.vllm(), up.serve()
    os.kill(serve, signal.SIGKILL)
    up.until(lambda: len(up.events("serve", "ready")) == 2)
    assert "SIGKILL" in up.events("serve", "down")[0]["why"]
    up.until(lambda: [told["phase"] for told in up.records("serve", "phase") if told["pid"] == up.serve()] == ["ready"])
    assert up.serve() != serve
    assert up.vllm() == vllm
    assert running(vllm)


def test_vllm_is_killed_and_comes_back_while_serve_stays(up, running: Running) -> None:  # noqa: ANN001
    up.start()
    up.ready()
    vllm, engine, serve = up.vllm(), up.records("vllm", "started")[0]["engine"], up.serve()
    os.kill(vllm, signal.SIGKILL)
    up.ready(times=2)
    assert "SIGKILL" in up.events("llm-main", "down")[0]["why"]
    assert not running(engine), "what vLLM had started keeps the card"
    assert up.serve() == serve
    up.until(lambda: len(up.records("serve", "phase")) >= 5)
    phases = [told["phase"] for told in up.records("serve", "phase")]
    assert phases == ["starting", "ready", "down", "starting", "ready"]


def test_a_vllm_that_exits_says_why_and_a_crash_loop_is_called_that(up) -> None:  # noqa: ANN001
    up.script(exit=3)
    up.start()
    looped = up.until(lambda: up.events("llm-main", "crash loop"))[0]
    assert "in a row" in looped["why"]
    down = up.events("llm-main", "down")[0]["why"]
    assert "exit code 3" in down
    assert "ValueError: Free memory on device" in down
    assert "all is well" not in down
    up.until(lambda: [told for told in up.records("serve", "phase") if "Free memory" in told["why"]])
    up.script()
    up.ready()


def test_a_vllm_that_never_gets_healthy_is_given_up(up, running: Running) -> None:  # noqa: ANN001
    up.args = "start_s = 0.8"
    up.script(healthy=False)
    up.start()
    down = up.until(lambda: up.events("llm-main", "down"))[0]
    assert "no token within 0.8 s" in down["why"]
    assert not running(up.records("vllm", "started")[0]["pid"])
    up.script()
    up.ready()


def test_a_parent_that_is_killed_leaves_its_children_and_the_next_one_ends_them(up, running: Running) -> None:  # noqa: ANN001
    parent = up.start()
    up.ready()
    vllm, serve = up.vllm(), up.serve()
    parent.kill()
    parent.wait()
    up.until(lambda: up.records("serve", "abandoned"))
    assert running(vllm)
    assert running(serve)
    up.start()
    up.ready()
    assert not running(vllm)
    assert not running(serve)
    assert (up.vllm(), up.serve()) != (vllm, serve)
    assert "left behind" in up.log


def test_a_stale_socket_is_removed(up) -> None:  # noqa: ANN001
    up.socket.parent.mkdir(parents=True)
    up.socket.write_text("not even a socket")
    up.start()
    up.ready()
    assert up.socket.is_socket()


def test_a_second_parent_is_refused_and_the_first_goes_on(up, running: Running) -> None:  # noqa: ANN001
    first = up.start()
    up.ready()
    assert up.start().wait(60) == 1
    assert f"another `quarry up` runs on {up.data_dir}" in up.log
    assert first.poll() is None
    assert running(up.vllm())


def test_serve_finishes_its_answers_before_vllm_is_ended(up, running: Running) -> None:  # noqa: ANN001
    up.script(drain_s=0.5)
    parent = up.start()
    up.ready()
    vllm = up.vllm()
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    (told,) = up.records("serve", "ended")
    (done,), (vllm_told,) = up.records("serve", "exited"), up.records("vllm", "ended")
    assert told["at"] < done["at"] <= vllm_told["at"]
    assert [len(up.events(process, "ended")) for process in ("serve", "llm-main", "up")] == [1, 1, 1]
    assert not running(vllm)
    assert not running(up.records("vllm", "started")[0]["engine"])
    assert not list((up.data_dir / "run").glob("*.process.json"))
    assert not up.socket.exists()


def test_a_vllm_that_does_not_end_is_killed(up, running: Running) -> None:  # noqa: ANN001
    up.durations = {"llm_drain_s": 0.3}
    up.script(deaf=True)
    parent = up.start()
    up.ready()
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 0
    assert up.events("llm-main", "killed")
    assert not running(up.vllm())


def test_a_second_signal_hurries(up, running: Running) -> None:  # noqa: ANN001
    up.script(drain_s=1000)
    parent = up.start()
    up.ready()
    parent.send_signal(signal.SIGTERM)
    up.until(lambda: up.records("serve", "ended"))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    assert up.events("serve", "killed")
    assert not running(up.serve())
    assert not running(up.vllm())


def test_a_stop_while_everything_starts_is_an_end_in_order_too(up, running: Running) -> None:  # noqa: ANN001
    up.script(healthy=False)
    parent = up.start()
    up.until(lambda: up.records("vllm", "started"))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    assert not running(up.vllm())


def test_a_serve_that_never_was_ready_ends_the_command(up) -> None:  # noqa: ANN001
    up.script(serve_exit=7)
    assert up.start().wait(60) == 1
    assert "the index is damaged" in up.log
    assert "UpError: quarry serve ended before it was ready, exit code 7" in up.log
    assert not up.records("vllm", "started")


def test_a_serve_that_keeps_dying_is_called_a_crash_loop(up) -> None:  # noqa: ANN001
    up.start()
    up.ready()
    up.script(serve_exit=7)
    os.kill(up.serve(), signal.SIGKILL)
    assert "exit code 7" in up.until(lambda: up.events("serve", "crash loop"))[0]["why"]
    up.script()
    up.until(lambda: len(up.events("serve", "ready")) == 2)


def starts_while_it_ended(up, process: str) -> list[object]:  # noqa: ANN001
    (draining,) = up.events("up", "draining")
    return [event for event in up.events(process, "starting") if event["monotonic"] > draining["monotonic"]]


def test_a_vllm_that_keeps_dying_is_not_started_while_serve_drains(up) -> None:  # noqa: ANN001
    up.durations = {"held_s": 0.1}
    up.script(exit=3, drain_s=1.0)
    parent = up.start()
    up.until(lambda: up.events("llm-main", "crash loop"))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    assert not starts_while_it_ended(up, "llm-main")


def test_a_serve_that_keeps_dying_is_not_started_while_vllm_ends(up) -> None:  # noqa: ANN001
    up.durations = {"llm_drain_s": 1.0}
    up.script(deaf=True)
    parent = up.start()
    up.ready()
    up.script(serve_exit=7, deaf=True)
    os.kill(up.serve(), signal.SIGKILL)
    up.until(lambda: up.events("serve", "crash loop"))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    assert not starts_while_it_ended(up, "serve")
