"""What a model server is sent, and what only vLLM is sent."""

from pathlib import Path
from typing import Any

from service.budget import Deadline
from service.generation.base import LlmCall, Priority
from service.generation.chat_body import Chat, ChatBodies
from service.llm_settings import LlmSettings, ManagedSettings

MESSAGES = [{"role": "user", "content": "Why?"}]


def bodies(**settings: Any) -> ChatBodies:  # noqa: ANN401
    return ChatBodies(LlmSettings(url="unix:///llm.sock", model="tiny", **settings))


def answer(made: ChatBodies, tenant: str = "", priority: Priority = Priority.QUESTION) -> dict[str, object]:
    return made.answer(Chat(MESSAGES, 64, None, LlmCall(Deadline.after(1000), "id", tenant, priority)))


def test_another_server_than_vllm_is_sent_what_openai_knows() -> None:
    plain = {"model", "messages", "max_tokens", "stream", "stream_options"}
    assert set(answer(bodies(priorities=True), "acme", Priority.BULK)) == plain
    assert set(bodies(priorities=True).canary()) == {"model", "messages", "max_tokens"}


def test_vllm_is_sent_a_salt_and_where_it_schedules_by_it_a_priority() -> None:
    assert "priority" not in answer(bodies(server="vllm"), priority=Priority.BULK)
    by_priority = bodies(server="vllm", priorities=True)
    assert [answer(by_priority, priority=each)["priority"] for each in Priority] == [-2, -1, 0, 1]
    assert by_priority.canary()["priority"] == Priority.CANARY
    managed = bodies(managed=ManagedSettings(weights=Path("/weights")))
    assert answer(managed, priority=Priority.REWRITE)["priority"] == -1


def test_salts_tell_tenants_apart_and_nothing_else() -> None:
    made = bodies(server="vllm")
    salts = [answer(made, tenant)["cache_salt"] for tenant in ("acme", "acme", "other", "")]
    assert salts[0] == salts[1]
    assert len(set(salts)) == 3
    assert all(isinstance(salt, str) and salt.isalnum() and len(salt) == 32 for salt in salts)
    # Another process has another secret.
    assert answer(bodies(server="vllm"), "acme")["cache_salt"] != salts[0]


def test_a_canary_is_one_token() -> None:
    assert bodies().canary()["max_tokens"] == 1
