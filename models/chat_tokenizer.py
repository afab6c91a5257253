"""ChatTokenizer: how many tokens a language model makes of chat messages, from the folder of its tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from models.base import ModelNotFoundError, UnsupportedModelError
from models.folder_contents import check_contents

ChatMessages = Sequence[Mapping[str, str]]

_PROBE = "How many tokens are these?"
_CONVERSATION = [
    {"role": "system", "content": f"{_PROBE} 1"},
    {"role": "user", "content": f"{_PROBE} 2"},
    {"role": "assistant", "content": f"{_PROBE} 3"},
    {"role": "user", "content": f"{_PROBE} 4"},
]


class ChatTokenizer:
    """Counts as vLLM does: the chat template is rendered, with the opening of the answer, and the result is tokenized.

    Args:
        folder: with tokenizer.json and a chat template, as they are saved beside a model's weights.

    Raises:
        ModelNotFoundError: there is no such folder.
        UnsupportedModelError: it holds no fast tokenizer, or no chat template, or one that refuses or drops a
            conversation of system, user and assistant.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ModelNotFoundError(f"{folder}: no such folder; a tokenizer is expected there")
        check_contents(folder)
        loaded = _loaded(folder)
        backend = getattr(loaded, "backend_tokenizer", None)
        if backend is None:
            raise UnsupportedModelError(f"{folder} has no fast tokenizer (tokenizer.json)")
        if not loaded.chat_template:
            raise UnsupportedModelError(f"{folder} has no chat template: prompts for its model cannot be counted")
        # A copy of our own that nobody sets anything on any more: so any number of threads may read it at once.
        self._tokenizer = Tokenizer.from_str(backend.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._render: Callable[..., str] = loaded.apply_chat_template
        self._in_parts = self._takes_parts(folder)

    def count(self, messages: ChatMessages) -> int:
        """Tokens of the whole prompt. Any thread may ask; it takes about a millisecond a thousand tokens."""
        return len(self._tokenizer.encode(self._rendered(messages, in_parts=self._in_parts), add_special_tokens=False))

    def _rendered(self, messages: ChatMessages, *, in_parts: bool) -> str:
        conversation: list[dict[str, Any]] = [dict(message) for message in messages]
        if in_parts:
            for message in conversation:
                message["content"] = [{"type": "text", "text": message["content"]}]
        return self._render(conversation, tokenize=False, add_generation_prompt=True)

    def _takes_parts(self, folder: Path) -> bool:
        """Templates of models that see images may know text only as one part of a message."""
        refusal = "it leaves out what was said"
        for in_parts in (False, True):
            try:
                rendered = self._rendered(_CONVERSATION, in_parts=in_parts)
            except (TemplateError, TypeError) as error:  # a TypeError where parts are joined as if they were text
                refusal = str(error)
                continue
            if all(message["content"] in rendered for message in _CONVERSATION):
                return in_parts
        raise UnsupportedModelError(f"{folder}: the chat template takes no conversation with instructions: {refusal}")


def _loaded(folder: Path) -> Any:  # noqa: ANN401  any model's own class
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UnsupportedModelError(f"{folder} holds no tokenizer that can be read: {error}") from error
