"""What the service itself refuses or fails at; ``api/problems.py`` turns each into problem+json.

QuarryError
├── InvalidRequestError        the request breaks a rule that no schema can say
│   └── ContentBlockedError    a content rule refuses what the request says
├── UnauthenticatedError       no key is shown where one is needed, or one that does not hold
├── ForbiddenError             the key that is shown does not grant this
├── RateLimitedError           the key has asked for as much as it may
├── KeyNotFoundError           no key of that id
├── QueriesOnlyError           a replica, which is not asked for this
├── LlmServerNotFoundError     no language model with servers of that name, or no server of that URL
├── KeyConflictError           the keys that there are do not allow it
├── KeysUnavailableError       the keys on the disk cannot be read or written
├── KeylessError               an address that others reach, and not one key
│   └── KeylessPagesError      every web page may read replies, and not one key
├── MetricsPortError           the port of the metrics cannot be taken
├── EmptyDocumentError         a document without a single word
├── ExtraMissingError          a setting asks for what is not installed
├── UnknownHostError           a name that is not this server's
├── ForeignPageError           a web page that nobody let ask
├── UnsupportedMediaTypeError  a file of a kind, or with bytes, that cannot be read as text
├── UnreadableDocumentError    a file that is damaged or encrypted, or whose text cannot be read
├── DocumentTooLargeError      a file that expands to more, or takes more, than a limit
├── ParserUnavailableError     nothing could be started to read a file
│   └── ParserLostError        what read it was lost, and the file may be the reason
├── JobNotFoundError           no job of that id, or none any more
├── JobCancelledError          the job was cancelled while its caller waited for it
├── JobInputError              the raw input of a job is damaged, or killed the process too often
├── ModelNotServedError        a model that this server does not serve
├── TooManyInputsError         more inputs than are taken at a time
├── OverloadedError            this server's queue is full
│   ├── BulkHeldError          bulk work is held, for memory or for the start of a model server
│   └── ShuttingDownError      this server ends
├── EmbedderUnavailableError   the model's forward failed
├── RerankerMissingError       hits are to be reranked, and no reranker is configured
├── RerankerUnavailableError   hits cannot be reranked, and the request takes no less
├── LexicalUnavailableError    words cannot be looked for, and the request takes no less
├── DeadlineExceededError      the request's time ran out, in the stage it names
│   └── DeadlineTooShortError  no server, however idle, could have kept it
└── GenerationError            the language model
    ├── LlmUnavailableError    not reachable, or refuses work
    │   ├── LlmNotAskedError   in trouble, so that nothing is sent to it
    │   └── LlmOverloadedError its queue is full, or ours in front of it
    ├── LlmTimeoutError        no token in time
    ├── QuestionTooLongError   it leaves no room for a passage in the model's context
    └── LlmBadResponseError    an answer that is not OpenAI's protocol, or an error in mid-stream
        └── LlmRefusedError    what was asked is at fault, as the server sees it
            ├── LlmConfigurationError
            └── PromptTooLongError
"""

from collections.abc import Sequence


class QuarryError(Exception):
    """The service refused or failed; the message names the value and the limit."""


class InvalidRequestError(QuarryError):
    """The request breaks a rule that no schema can say."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnauthenticatedError(QuarryError):
    """No key is shown where one is needed, or one that does not hold."""


class ForbiddenError(QuarryError):
    """The key that is shown does not grant this."""


class RateLimitedError(QuarryError):
    """The key has asked for as much as it may; there is more in ``retry_after_s``."""

    def __init__(self, key_id: str, limit: str, retry_after_s: float) -> None:
        super().__init__(f"the key {key_id} has used up its {limit}; try again in {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


class KeyNotFoundError(QuarryError):
    """No key of that id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key of the id {key_id!r}")


class QueriesOnlyError(QuarryError):
    """This process is a replica, and only the writer does what is asked."""

    retry_after_s = 5.0  # behind a proxy the writer may have the next one

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"this server is a replica, which answers queries only: {method} {path} is for the writer")


class LlmServerNotFoundError(QuarryError):
    """No language model with servers of that name, or none of its servers has that URL."""


class KeyConflictError(QuarryError):
    """A key cannot be made or revoked as the others are."""


class KeysUnavailableError(QuarryError):
    """The keys on the disk cannot be read or written; nothing was changed."""


class KeylessError(QuarryError):
    """An address that others reach, or a name that they call it by, and not one key.

    Args:
        host: the address; None where only this machine reaches it.
        names: by which it may be called.
    """

    def __init__(self, host: str | None, names: Sequence[str] = ()) -> None:
        said = f"server.hosts is {', '.join(names)}" if host is None else f"server.host is {host!r}"
        super().__init__(
            f"{said}, which others can reach, and there is no key: `quarry keys create NAME --scope "
            "admin --data-dir DIR` makes one, or set access.admin_key (QUARRY_ACCESS__ADMIN_KEY_FILE)"
        )


class KeylessPagesError(KeylessError):
    """Every web page may read replies, and not one key."""

    def __init__(self) -> None:
        QuarryError.__init__(
            self,
            "server.cors_origins is '*' and there is no key: every web page that is opened on this machine could read "
            "every document. Name the pages that may, or make a key",
        )


class ExtraMissingError(QuarryError):
    """A setting asks for what an extra brings, and that is not installed."""

    def __init__(self, setting: str, value: str, missing: str, extra: str) -> None:
        super().__init__(
            f"{setting} is {value!r}, and the Python package {missing!r} is not installed: in the folder of the clone "
            f"`.venv/bin/pip install -c constraints/cpu.txt -e '.[{extra}]'` brings it; or leave the setting out"
        )


class UnknownHostError(QuarryError):
    """The request was sent to a name that is not this server's: some other site's name may lead here."""


class ForeignPageError(QuarryError):
    """A web page of an origin that nobody let ask wants something done."""


class ContentBlockedError(InvalidRequestError):
    """A content rule refuses what the request says; the message names the rule and nothing of the text."""

    def __init__(self, rule: str, param: str) -> None:
        super().__init__(f"{param} is refused by the content rule {rule!r} of this server", param)


class MetricsPortError(QuarryError):
    """The port of the metrics cannot be taken."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"server.metrics_port {port} at {host} cannot be taken: {reason}")


class EmptyDocumentError(QuarryError):
    """A document without a single word: there is nothing to search for."""


class UnsupportedMediaTypeError(QuarryError):
    """A file of a kind, or with bytes, that cannot be read as text."""


class UnreadableDocumentError(QuarryError):
    """A file of a known kind that is damaged or encrypted, or whose text cannot be read."""


class DocumentTooLargeError(QuarryError):
    """A file that expands to more, or takes more to read, than the limit that the message names."""


class ParserUnavailableError(QuarryError):
    """Nothing could be started to read a file; it says nothing about the file, and may be tried again."""


class ParserLostError(ParserUnavailableError):
    """The process that read a file was lost without a word: tried again it may end well, or be lost again."""


class JobNotFoundError(QuarryError):
    """No job of that id, or none that is still remembered."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}; jobs that have ended are remembered for a while only")


class JobCancelledError(QuarryError):
    """The job was cancelled while its caller waited for it."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} was cancelled")


class JobInputError(QuarryError):
    """The raw input of a job is not what was received, or processes died as often as is tried while they read it."""


class ModelNotServedError(QuarryError):
    """A model that this server does not serve."""

    param = "model"


class TooManyInputsError(QuarryError):
    """A request with more inputs than are taken at a time."""


class OverloadedError(QuarryError):
    """A queue of this server is full; worth trying again after ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BulkHeldError(OverloadedError):
    """Bulk work is held; it goes on when its cause is over, however long that takes."""


class ShuttingDownError(OverloadedError):
    """This server ends; another one, or the next one at this address, may answer."""


class EmbedderUnavailableError(QuarryError):
    """The model's forward failed, or none can be expected to end well; the request may be tried again."""


class RerankerMissingError(QuarryError):
    """A request asks for hits to be reranked, and no reranker is configured."""

    def __init__(self) -> None:
        super().__init__(
            "rerank.enabled is true, and a reranker is not configured: set rerank.model (QUARRY_RERANK__MODEL) to the "
            "folder of a cross-encoder, or leave rerank out"
        )
        self.param = "rerank.enabled"


class RerankerUnavailableError(QuarryError):
    """The cross-encoder fails, and the request wants no hits in the order of the search alone."""

    stage = "rerank"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the hits cannot be reranked: {reason}")


class LexicalUnavailableError(QuarryError):
    """Words cannot be looked for now, and the request wants no hits without them."""

    stage = "lexical"

    def __init__(self, collection: str, reason: str) -> None:
        super().__init__(f"the words of collection {collection!r} cannot be looked for: their index is {reason!r}")


class DeadlineExceededError(QuarryError):
    """The request's time, or a stage's share of it, ran out in ``stage``; ``limit`` says which of the two."""

    def __init__(self, stage: str, budget_s: float, limit: str = "deadline") -> None:
        super().__init__(f"the {limit} of {budget_s * 1000:.0f} ms passed in stage {stage!r}")
        self.stage = stage


class DeadlineTooShortError(DeadlineExceededError):
    """Less time than the stages up to ``stage`` take when nothing else is to be done."""

    def __init__(self, stage: str, remaining_s: float, idle_s: float) -> None:
        QuarryError.__init__(
            self,
            f"{remaining_s * 1000:.1f} ms are left of the deadline, but to the end of stage {stage!r} it takes "
            f"{idle_s * 1000:.1f} ms when nobody else asks",
        )
        self.stage = stage


class GenerationError(QuarryError):
    """The language model failed; ``stage`` is always ``llm``.

    Attributes:
        said: at the message's end or within it, the model server's own words, which may repeat a prompt or a key.
    """

    stage = "llm"
    said = ""

    @property
    def outline(self) -> str:
        """The message without those words, for everybody but whose prompt it was."""
        return str(self).replace(f": {self.said}", "") if self.said else str(self)


class LlmUnavailableError(GenerationError):
    """The language model cannot be reached or refuses work."""


class LlmNotAskedError(LlmUnavailableError):
    """The language model is in trouble, and nothing is sent to it."""


class LlmOverloadedError(LlmUnavailableError):
    """The language model's queue is full, or ours in front of it; worth trying again after ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LlmTimeoutError(GenerationError):
    """The language model was too slow."""


class QuestionTooLongError(GenerationError):
    """The question leaves no room for a passage in the language model's context."""


class LlmBadResponseError(GenerationError):
    """The language model's server spoke something else than OpenAI's protocol, or reported an error in mid-stream."""


class LlmRefusedError(LlmBadResponseError):
    """The language model's server refused the request itself: asked again it would refuse again."""


class LlmConfigurationError(LlmRefusedError):
    """The key, the model's name or the address is not what the server knows: no request of anybody's will be answered.

    Attributes:
        status: 401, 403 or 404.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PromptTooLongError(LlmRefusedError):
    """Prompt and answer do not fit into the model's context.

    Attributes:
        context: tokens it holds, where the server said so.
    """

    def __init__(self, message: str, context: int | None = None) -> None:
        super().__init__(message)
        self.context = context
