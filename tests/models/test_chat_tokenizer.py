"""Counting prompts with a model's own tokenizer, against two other ways of counting them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models.base import ModelNotFoundError, UnsupportedModelError
from models.chat_tokenizer import ChatMessages, ChatTokenizer

SPECIAL = ["<s>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>"
    "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IN_PARTS = CHATML.replace(
    "{{ message['content'] }}", "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
DROPPING = CHATML.replace("{% for message in messages %}", "{% for message in messages[-1:] %}")
TEXTS = ["The honey bees sleep in winter.", "Bees, bees and bees!", "Why do they sleep?", "Grüße, 世界 🐝"]
MESSAGES = [
    {"role": "system", "content": "Answer from the passages."},
    {"role": "user", "content": "Why do the bees sleep in winter? 🐝"},
    {"role": "assistant", "content": "They are cold."},
    {"role": "user", "content": "[1] Bees\n> The honey bees sleep.\n\nQuestion: Why?"},
]

WriteTokenizer = Callable[[str | None], Path]


@pytest.fixture(scope="module")
def write_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> WriteTokenizer:
    """(chat template) -> a folder with a byte-level BPE trained on the spot, which puts <s> before every text."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(TEXTS * 4, trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
    )

    def write(template: str | None) -> Path:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="<|im_end|>")
        tokenizer.chat_template = template
        folder = tmp_path_factory.mktemp("tokenizer")
        tokenizer.save_pretrained(folder)
        return folder

    return write


def by_transformers(folder: Path, messages: ChatMessages) -> int:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return len(ids)


def by_hand(folder: Path, messages: ChatMessages) -> int:
    said = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return len(tokenizer.encode(f"<s>{said}<|im_start|>assistant\n", add_special_tokens=False).ids)


def test_counts_are_those_of_two_other_ways(write_tokenizer: WriteTokenizer) -> None:
    folder = write_tokenizer(CHATML)
    tokenizer = ChatTokenizer(folder)
    for messages in [MESSAGES, MESSAGES[-1:], [*MESSAGES[:1], {"role": "user", "content": " \n" + "bees " * 500}]]:
        assert tokenizer.count(messages) == by_transformers(folder, messages) == by_hand(folder, messages)


def test_a_template_that_takes_parts_of_messages(write_tokenizer: WriteTokenizer) -> None:
    assert ChatTokenizer(write_tokenizer(IN_PARTS)).count(MESSAGES) == by_hand(write_tokenizer(CHATML), MESSAGES)


def test_no_byte_makes_two_tokens(write_tokenizer: WriteTokenizer) -> None:
    tokenizer = ChatTokenizer(write_tokenizer(CHATML))
    around = tokenizer.count([{"role": "user", "content": ""}])

    @given(st.text(max_size=100))
    def bounded(text: str) -> None:
        assert tokenizer.count([{"role": "user", "content": text}]) - around <= len(text.encode())

    bounded()


def test_threads_count_at_once(write_tokenizer: WriteTokenizer) -> None:
    tokenizer = ChatTokenizer(write_tokenizer(CHATML))
    expected = tokenizer.count(MESSAGES)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: tokenizer.count(MESSAGES), range(200))) == [expected] * 200


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere: no such folder"):
        ChatTokenizer(tmp_path / "nowhere")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=tmp_path.name):
        ChatTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UnsupportedModelError, match=tmp_path.name):
        ChatTokenizer(tmp_path)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        (NO_SYSTEM, "no system role"),
        (DROPPING, "leaves out what was said"),
        ("{% for", "takes no conversation"),
    ],
)
def test_templates_that_take_no_conversation(
    write_tokenizer: WriteTokenizer, template: str | None, message: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        ChatTokenizer(write_tokenizer(template))
