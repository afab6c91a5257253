from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from tokenizers import Tokenizer

from models.base import TokenPair
from models.loading import find_model
from models.tokenizing import ThreadLocalTokenizer

CLS, SEP, PAD = 101, 102, 0
TEXTS = [f"{'tombstone ' * (i % 40)}segment {i} is rebuilt, isn't it? Grüße 世界 👩‍🚀" for i in range(200)]


@pytest.fixture(scope="module")
def serialized() -> str:
    return (Path(find_model("all-MiniLM-L6-v2")) / "tokenizer.json").read_text()


@pytest.fixture
def tokenizer(serialized: str) -> ThreadLocalTokenizer:
    return ThreadLocalTokenizer(serialized, 64)


@pytest.fixture
def reference(serialized: str) -> Tokenizer:
    """The library's own tokenizer, without padding or truncation."""
    reference = Tokenizer.from_str(serialized)
    reference.no_padding()
    reference.no_truncation()
    return reference


def test_ids_equal_those_of_the_library(tokenizer: ThreadLocalTokenizer, reference: Tokenizer) -> None:
    short = [text for text in TEXTS if len(reference.encode(text).ids) <= 64]
    assert tokenizer.encode(short) == [reference.encode(text).ids for text in short]
    assert len(short) > 50


def test_long_texts_keep_their_first_tokens_and_the_closing_one(
    tokenizer: ThreadLocalTokenizer, reference: Tokenizer
) -> None:
    text = "segment rebuilt " * 100
    (ids,) = tokenizer.encode([text])
    assert len(ids) == 64
    assert ids == [*reference.encode(text).ids[:63], SEP]


def test_a_text_far_over_the_limit_keeps_the_same_tokens(tokenizer: ThreadLocalTokenizer) -> None:
    text = "incomprehensibilities " * 500
    assert tokenizer.encode([text]) == tokenizer.encode([text * 200])


def test_texts_of_one_batch_are_not_padded(tokenizer: ThreadLocalTokenizer) -> None:
    short, long = tokenizer.encode(["a", "a b c d e f"])
    assert (len(short), len(long)) == (3, 8)
    assert PAD not in short


def test_an_empty_text_has_the_special_tokens_only(tokenizer: ThreadLocalTokenizer) -> None:
    assert tokenizer.encode([""]) == [[CLS, SEP]]
    assert tokenizer.encode([]) == []


def test_the_prompt_comes_first(tokenizer: ThreadLocalTokenizer) -> None:
    assert tokenizer.encode(["keys"], "query: ") == tokenizer.encode(["query: keys"])
    assert tokenizer.encode(["keys"], "query: ") != tokenizer.encode(["keys"])


def test_a_pair_has_the_ids_and_types_of_the_library(tokenizer: ThreadLocalTokenizer, reference: Tokenizer) -> None:
    reference.enable_truncation(64, strategy="longest_first")
    query = "which segment is rebuilt, and by whom?"
    wanted = [reference.encode(query, text) for text in TEXTS]
    pairs = tokenizer.encode_pairs(query, TEXTS)
    assert [(pair.ids, pair.type_ids) for pair in pairs] == [(encoding.ids, encoding.type_ids) for encoding in wanted]
    assert max(map(len, pairs)) == 64


def test_a_document_far_over_the_limit_keeps_the_same_tokens(tokenizer: ThreadLocalTokenizer) -> None:
    text = "incomprehensibilities " * 500
    assert tokenizer.encode_pairs("keys", [text]) == tokenizer.encode_pairs("keys", [text * 200])


def test_an_empty_query_and_document_have_the_special_tokens_only(tokenizer: ThreadLocalTokenizer) -> None:
    assert tokenizer.encode_pairs("", [""]) == [TokenPair([CLS, SEP, SEP], [0, 0, 1])]
    assert tokenizer.encode_pairs("", []) == []


def test_counting_leaves_out_special_tokens_and_truncation(
    tokenizer: ThreadLocalTokenizer, reference: Tokenizer
) -> None:
    assert tokenizer.count("") == 0
    assert tokenizer.count("rotate the keys") == 3
    long = "segment rebuilt " * 5000
    assert tokenizer.count(long) == len(reference.encode(long, add_special_tokens=False).ids) == 10_000


def test_eight_threads_at_once_get_what_one_thread_gets(tokenizer: ThreadLocalTokenizer) -> None:
    expected = (tokenizer.encode(TEXTS), [tokenizer.count(text) for text in TEXTS])
    together = Barrier(8)

    def work(_: int) -> list[tuple[list[list[int]], list[int]]]:
        together.wait(timeout=200)
        return [(tokenizer.encode(TEXTS), [tokenizer.count(text) for text in TEXTS]) for _ in range(3)]

    with ThreadPoolExecutor(8) as threads:
        results = [result for results in threads.map(work, range(8)) for result in results]
    assert len(results) == 24
    assert all(result == expected for result in results)


def test_each_thread_has_a_tokenizer_of_its_own(tokenizer: ThreadLocalTokenizer) -> None:
    """Sharing one is safe only as long as nobody sets its truncation or padding, so it is not shared at all."""
    with ThreadPoolExecutor(1) as thread:
        theirs = thread.submit(tokenizer._tokenizer, "counting").result(timeout=200)
    mine = tokenizer._tokenizer("counting")
    assert mine is tokenizer._tokenizer("counting")
    assert mine is not theirs
