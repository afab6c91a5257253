"""One answer: its prompt, the tokens it will be, and the moments at which things happened."""

import time
from dataclasses import dataclass, field

from loadtests.fake_vllm.bodies import Chat, Completion
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.refusals import Refusal
from loadtests.fake_vllm.script import Rule
from loadtests.fake_vllm.tokens import pieces

_FILLER = pieces(" and this goes on for as long as it is let")


@dataclass(slots=True)
class Moments:
    """Seconds of a monotonic clock; 0 has not come."""

    arrived: float = field(default_factory=time.monotonic)
    scheduled: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0

    def token(self) -> float:
        """A token is out; the seconds since the one before it, 0 for the first."""
        now = time.monotonic()
        since = now - self.last_token if self.last_token else 0.0
        self.first_token = self.first_token or now
        self.last_token = now
        return since


@dataclass(frozen=True, slots=True)
class Sequence:
    """What is to be said.

    Attributes:
        prompt: its tokens.
        answer: its tokens, as many as the limit lets through.
        finish: OpenAI's reason: ``stop`` or ``length``.
        cached: tokens of the prompt that an earlier one began with.
        created: tokens of the prompt that a later one may begin with.
    """

    body: Chat | Completion
    rule: Rule
    prompt: list[str]
    answer: list[str]
    finish: str
    cached: int
    created: int
    moments: Moments = field(default_factory=Moments)

    @property
    def completion_tokens(self) -> int:
        """The end of an answer is a token too."""
        return len(self.answer) + (self.finish == "stop")


def room(body: Chat | Completion, prompt: list[str], options: Options) -> int:
    """Tokens the answer may have: what was asked for, as far as the context goes.

    Raises:
        Refusal: the prompt leaves no room, or what was asked for makes no sense.
    """
    field_name, wanted = body.limit
    context = options.max_model_len
    if body.temperature is not None and body.temperature < 0:
        message = f"temperature must be non-negative, got {body.temperature}."
        raise Refusal.of_value(message, "temperature", body.temperature)
    if wanted is not None and wanted > context:
        message = (
            f"{field_name}={wanted} cannot be greater than max_model_len={context}. Please request fewer output tokens."
        )
        raise Refusal.of_value(message, field_name, wanted)
    if len(prompt) > context:
        raise Refusal.too_long(context)
    left = min(context if wanted is None else wanted, context - len(prompt))
    if left < 1:
        raise Refusal.of_value(f"max_tokens must be at least 1, got {left}.", "max_tokens", left)
    return left


def answer(body: Chat | Completion, rule: Rule, most: int) -> tuple[list[str], str]:
    """Tokens and finish reason: the choice, else the rule's text, else words without end."""
    text = body.structured_outputs.choice[0] if body.structured_outputs else rule.text
    if text is None:
        return [_FILLER[position % len(_FILLER)] for position in range(most)], "length"
    tokens = pieces(text)
    return (tokens, "stop") if len(tokens) < most else (tokens[:most], "length")
