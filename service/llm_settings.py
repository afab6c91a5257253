"""Settings of one language model: the server that speaks for it, and how ``quarry up`` runs it."""

from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from service.settings_group import Group


def _parsable(url: str) -> str:
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    return url


class ManagedSettings(Group):
    """A vLLM server that ``quarry up`` starts beside this one and keeps alive.

    Attributes:
        weights: folder of the model, given to ``vllm serve``.
        command: the ``vllm`` executable, of an environment of its own.
        devices: CUDA devices it may use, by index; several are used by tensor parallelism.
        max_num_seqs: sequences it decodes at once.
        kv_cache_bytes: memory of the KV cache on each device; None takes what the plan leaves.
        args: further flags of ``vllm serve``, as on the command line; they replace ours of the same name.
        start_s: longest time from its start to its first token.
    """

    weights: Path
    command: Path = Path("vllm")
    devices: tuple[int, ...] = (0,)
    max_num_seqs: int = Field(64, ge=1)
    kv_cache_bytes: int | None = Field(None, ge=1)
    args: tuple[str, ...] = ()
    start_s: float = Field(900, gt=0, allow_inf_nan=False)


class LlmSettings(Group):
    """A server that speaks OpenAI's chat protocol, vLLM first.

    Attributes:
        url: ``http(s)://host:port``, without /v1, or ``unix:///path/to/socket``; a managed server needs none.
        key: sent as a bearer token.
        model: the name the server knows it by.
        context: tokens of prompt and answer together.
        server: ``vllm`` may be asked for what only vLLM has: it counts prompts, keeps tenants' cached prefixes
            apart and tells its own timings.
        priorities: vLLM runs with ``--scheduling-policy priority``; a managed one does.
        tokenizer: folder with the model's ``tokenizer.json`` and chat template, to count long prompts here; None asks
            vLLM.
        max_streams: answers that the server writes for us at once.
        max_queued: answers that wait for one of these.
        managed: how ``quarry up`` runs the server; None leaves it alone.
    """

    url: Annotated[str, Field(pattern=r"^(https?://|unix:///)"), AfterValidator(_parsable)] | None = None
    model: str
    key: SecretStr | None = None
    context: int = Field(8192, ge=512)
    server: Literal["openai", "vllm"] = "openai"
    priorities: bool = False
    tokenizer: Path | None = None
    max_streams: int = Field(64, ge=1)
    max_queued: int = Field(256, ge=0)
    managed: ManagedSettings | None = None

    @model_validator(mode="after")
    def _has_a_server(self) -> Self:
        if self.url is None and self.managed is None:
            raise ValueError("url is missing: it is needed unless the server is managed")
        if self.managed and self.url and not self.url.startswith("unix://"):
            raise ValueError(f"url is {self.url!r}, but a managed server listens on a Unix socket: unix:///path")
        return self

    @property
    def is_vllm(self) -> bool:
        """The server is vLLM, so that its extensions may be used."""
        return self.server == "vllm" or self.managed is not None
