"""Settings: the only reader of the environment and of the configuration file.

Precedence: what the caller passes (flags), QUARRY_SECTION__FIELD, the file named by ``--config``, the default. A secret
may also come as QUARRY_..._FILE, the path of a file that holds it. Unknown names are errors.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from indexes.languages import Language
from service.access_settings import AccessSettings
from service.content_settings import ContentSettings
from service.embedding_settings import EmbeddingSettings
from service.index_settings import IndexSettings
from service.job_settings import JobSettings
from service.limit_settings import LimitSettings
from service.llm_settings import LlmSettings
from service.parsing_settings import ParsingSettings
from service.preprocessing import UnicodeForm
from service.redis_settings import RedisSettings
from service.rerank_settings import RerankSettings
from service.result_settings import ResultSettings
from service.role_settings import check_replica
from service.server_settings import ServerSettings
from service.settings_group import Group
from service.trace_settings import TraceSettings

_PREFIX = "QUARRY_"
_FILE_SUFFIX = "_FILE"
# Set by `quarry up` for the `quarry serve` it runs, never by an operator.
LINK_VARIABLE = "QUARRY_UP_LINK"
# What the commands that ask a server read; no settings of one.
KEY_VARIABLE, URL_VARIABLE = "QUARRY_KEY", "QUARRY_URL"
_NO_SETTINGS = {LINK_VARIABLE, KEY_VARIABLE, URL_VARIABLE}
EXTRACTIVE = "extractive"


class SettingsFileError(Exception):
    """The file given by --config, or one named by a *_FILE variable, cannot be read."""


class ChunkingSettings(Group):
    """Defaults for new collections, in tokens of the embedding model.

    Attributes:
        size: of a chunk at most, and less where the model reads less.
        overlap: that neighbours share.
    """

    size: int = Field(100, ge=16, le=8192)
    overlap: int = Field(20, ge=0)

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.overlap >= self.size:
            raise ValueError(f"overlap {self.overlap} must be smaller than size {self.size}")
        return self


class RetrievalSettings(Group):
    """What is searched for, and how hits are ordered.

    Attributes:
        unicode_form: of queries before they are embedded; NFKC also makes full-width letters, ligatures and the like
            into plain ones, which helps only where the documents have plain ones.
        repeat_penalty: cosine that every chunk of a document but its best loses in the order of the hits, by whatever
            metric they are ordered; 0 turns it off.
        hybrid: words are looked for beside the vector, for requests that do not say.
        dense_weight: share of the vectors in the order of the hits then, 0..1; the rest is the words'.
        language: of new collections that name none: how their words are told apart and brought to their stems.
    """

    unicode_form: UnicodeForm = "NFC"
    repeat_penalty: float = Field(0.1, ge=0, le=2, allow_inf_nan=False)
    hybrid: bool = True
    dense_weight: float = Field(0.65, ge=0, le=1, allow_inf_nan=False)
    language: Language = "en"


class AnswerSettings(Group):
    """How answers are made.

    Attributes:
        llm: name of the generator used when a request names none; None takes the only configured one, or
            ``extractive`` where there is none or several.
        min_score: a language model is not asked a question whose best chunk has a lower cosine.
        min_confidence: quotes of a lower confidence are no answer, in collections that do not say otherwise.
        sentence_vectors: sentences are embedded with their documents; without, when they may be quoted.
        passages: chunks that a generator is given at most.
        neighbours: chunks on either side of each whose text it is given too.
        max_tokens: longest answer of a language model.
        rewrite: the last question of a conversation is made to stand alone before the search.
    """

    llm: str | None = None
    min_score: float = Field(0.3, ge=-1, le=1, allow_inf_nan=False)
    min_confidence: float = Field(0.3, ge=0, le=1, allow_inf_nan=False)
    sentence_vectors: bool = True
    passages: int = Field(8, ge=1, le=100)
    neighbours: int = Field(0, ge=0, le=10)
    max_tokens: int = Field(512, ge=1, le=32_768)
    rewrite: bool = True


class BudgetSettings(Group):
    """Time a request may take, in all and in each stage; a stage without a budget may take what the request has left.

    Attributes:
        total_ms: of a request that names no deadline_ms itself.
        embed_ms: of the query's vector, waiting for the device included; beyond it: 504.
        search_ms: of the search; beyond it: 504.
        rerank_ms: of the cross-encoder that reorders hits, waiting included; as many as fit into it are reordered, and
            none is an error.
        rewrite_ms: of making a question of several messages stand alone; beyond it it is searched for as it is.
        llm_ttft_ms: from the prompt to the first text of the answer; beyond it the language model counts as late.
        llm_itl_ms: between two pieces of the answer, likewise.
    """

    total_ms: int = Field(60_000, ge=1, le=600_000)
    embed_ms: int | None = Field(None, ge=1, le=600_000)
    search_ms: int | None = Field(None, ge=1, le=600_000)
    rerank_ms: int | None = Field(500, ge=1, le=600_000)
    rewrite_ms: int | None = Field(5_000, ge=1, le=600_000)
    llm_ttft_ms: int | None = Field(None, ge=1, le=600_000)
    llm_itl_ms: int | None = Field(None, ge=1, le=600_000)


class Settings(BaseSettings):
    """Everything an operator can set; immutable.

    Attributes:
        data_dir: folder of all that is kept; one process uses it at a time.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("quarry-data")
    server: ServerSettings = ServerSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    rerank: RerankSettings = RerankSettings()
    index: IndexSettings = IndexSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    answer: AnswerSettings = AnswerSettings()
    llm: dict[str, LlmSettings] = {}
    budgets: BudgetSettings = BudgetSettings()
    parsing: ParsingSettings = ParsingSettings()
    limits: LimitSettings = LimitSettings()
    jobs: JobSettings = JobSettings()
    access: AccessSettings = AccessSettings()
    redis: RedisSettings = RedisSettings()
    results: ResultSettings = ResultSettings()
    content: ContentSettings = ContentSettings()
    traces: TraceSettings = TraceSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if EXTRACTIVE in self.llm:
            raise ValueError(f"llm.{EXTRACTIVE}: the name belongs to the built-in generator")
        if self.answer.llm not in {None, EXTRACTIVE, *self.llm}:
            raise ValueError(f"answer.llm is {self.answer.llm!r}, but no llm.{self.answer.llm} is configured")
        return self

    @model_validator(mode="after")
    def _served_names_differ(self) -> Self:
        """A model is served under the last component of its path."""
        models = [self.embedding.model, *self.embedding.also, *filter(None, [self.rerank.model])]
        repeated = [name for name, count in Counter(Path(model).name for model in models).items() if count > 1]
        if repeated:
            raise ValueError(f"two models would be served as {repeated[0]!r}: give their folders different names")
        return self

    @model_validator(mode="after")
    def _shares_by_way_of_something(self) -> Self:
        here = {"own", "off", "process"}
        for name, value in (("access.keys", self.access.keys), ("results.cache", self.results.cache)):
            if value not in here and self.redis.url is None:
                raise ValueError(f"{name} is {value!r}, but redis.url is not set")
        return self

    @model_validator(mode="after")
    def _replica_needs_no_data(self) -> Self:
        if self.server.role == "replica":
            check_replica(self.index.milvus, self.access)
        return self

    @property
    def default_llm(self) -> str:
        """Name of the generator for requests that name none."""
        return self.answer.llm or (next(iter(self.llm)) if len(self.llm) == 1 else EXTRACTIVE)

    def llm_url(self, name: str) -> str:
        """Where the only server of a language model listens; a managed one without a URL, in the data directory."""
        return self.llm[name].url or f"unix://{self.data_dir.absolute() / 'run' / name}.sock"

    def llm_urls(self, name: str) -> tuple[str, ...]:
        """Where all servers of a language model listen."""
        return self.llm[name].urls or (self.llm_url(name),)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and nothing else: ``load_settings`` puts the environment and the file behind them."""
        return (init_settings,)


def load_settings(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from flags, environment, file and defaults.

    Args:
        config: a TOML file; never looked for, only read when named.
        flags: nested like the settings, e.g. ``{"server": {"port": 9000}}``.

    Raises:
        SettingsFileError: a named file cannot be read.
        pydantic.ValidationError: an unknown name or a value out of range.
    """
    from_file = _read_toml(config) if config else {}
    return Settings(**_merged(_merged(from_file, _Environment(Settings)()), dict(flags or {})))


def inherited_link() -> int | None:
    """The descriptor of this process's end of the link to ``quarry up``; None where that did not start it.

    Raises:
        SettingsFileError: the variable holds something else.
    """
    value = os.environ.get(LINK_VARIABLE)
    if value is None:
        return None
    if not value.isdecimal():
        raise SettingsFileError(f"{LINK_VARIABLE} is {value!r}, which is no descriptor: only `quarry up` sets it")
    return int(value)


def url_to_ask() -> str | None:
    """The server that commands ask which are told none; None where the environment names none either."""
    return os.environ.get(URL_VARIABLE) or None


def environment() -> dict[str, str]:
    """A copy of this process's environment, to be handed on to a child."""
    return dict(os.environ)


class _Environment(EnvSettingsSource):
    """QUARRY_ variables, with *_FILE replaced by the file's content and unknown names kept, to be refused."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        variables: dict[str, str | None] = {}
        for name, value in os.environ.items():
            if name in _NO_SETTINGS:
                continue
            if name.startswith(_PREFIX) and name.endswith(_FILE_SUFFIX):
                variables[name.removesuffix(_FILE_SUFFIX).lower()] = _read_secret(name, value)
            elif name.startswith(_PREFIX):
                variables[name.lower()] = value
        return variables

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        for name in self.env_vars:
            section = name.removeprefix(_PREFIX.lower()).split("__")[0]
            if section not in Settings.model_fields:
                found[section] = self.env_vars[name]
        return found


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{variable} names {path!r}, which cannot be read: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsFileError(f"--config {path}: no such file")
    try:
        return TomlConfigSettingsSource(Settings, path)()
    except ValueError as error:
        raise SettingsFileError(f"--config {path}: {error}") from error


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged
