"""What requests say, as far as the fake server listens; like the real one it passes over fields it does not know."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from loadtests.fake_vllm.tokens import of_messages, pieces

_MAX_SALT_CHARACTERS = 128


def _salt(salt: str | None) -> str | None:
    if salt == "":
        raise ValueError("Parameter 'cache_salt' must be a non-empty string if provided.")
    if salt and (len(salt) > _MAX_SALT_CHARACTERS or any(character in salt for character in "@/\\\0")):
        raise ValueError(
            f"Parameter 'cache_salt' must be at most {_MAX_SALT_CHARACTERS} characters and must not contain "
            "'@', '/', '\\\\', or NUL."
        )
    return salt


class Part(BaseModel):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One of a conversation."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The content as one string."""
        return "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""


class StreamOptions(BaseModel):
    """What a stream carries beside its text."""

    include_usage: bool = False


class StructuredOutputs(BaseModel):
    """What the answer must be; the first choice is what the fake server says."""

    choice: Annotated[list[str], Field(min_length=1)]


class Generation(BaseModel):
    """What chat and plain completions have in common."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    structured_outputs: StructuredOutputs | None = None
    temperature: float | None = None
    priority: int = 0
    cache_salt: Annotated[str | None, AfterValidator(_salt)] = None
    max_tokens: int | None = None

    @property
    def limit(self) -> tuple[str, int | None]:
        """The field that bounds the answer, and its value."""
        return "max_tokens", self.max_tokens


class Chat(Generation):
    """The body of ``POST /v1/chat/completions``."""

    messages: list[Message]
    max_completion_tokens: int | None = None

    @property
    def limit(self) -> tuple[str, int | None]:
        """The newer name goes first."""
        newer = self.max_completion_tokens
        return ("max_completion_tokens", newer) if newer is not None else super().limit

    @property
    def text(self) -> str:
        """All that was said, for rules to look into."""
        return "\n".join(message.text for message in self.messages)

    def tokens(self) -> list[str]:
        """The prompt as the model sees it."""
        return of_messages([(message.role, message.text) for message in self.messages])


class Completion(Generation):
    """The body of ``POST /v1/completions``."""

    prompt: str
    max_tokens: int | None = 16

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt

    def tokens(self) -> list[str]:
        """The prompt as the model sees it."""
        return pieces(self.prompt)


class Tokenize(BaseModel):
    """The body of ``POST /tokenize``: a prompt or messages."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool = False

    def tokens(self) -> list[str]:
        """What is to be counted."""
        if self.messages is None:
            return pieces(self.prompt or "")
        said = [(message.role, message.text) for message in self.messages]
        return of_messages(said, self.add_generation_prompt)
