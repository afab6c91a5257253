"""A lexical index after any sequence of writes, starts and damage, against a dict of texts."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from faults.lexical_under_test import LexicalUnderTest
from indexes import lexical
from indexes.errors import LexicalError

pytestmark = pytest.mark.slow

# What takes thousands of rows takes a few.
SIZES = {"_FLUSH_ROWS": 8, "_MOST_NEWEST": 20, "_BLOCK_ROWS": 7, "_AT_ONCE": 5, "_FEW_DEAD": 6}
WORDS = ("red", "green", "blue")


class AnySequence(RuleBasedStateMachine):
    """Against a dict of texts."""

    @initialize()
    def open(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.subject = LexicalUnderTest(Path(self.home.name) / "one")

    @rule(name=st.sampled_from("abcdefg"), texts=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def put(self, name: str, texts: list[str]) -> None:
        self.subject.put(name, *texts)

    @rule(name=st.sampled_from("abcdefg"))
    def delete(self, name: str) -> None:
        self.subject.delete(name)

    @rule()
    def step(self) -> None:
        self.subject.lexical.step()

    @rule()
    def settle(self) -> None:
        self.subject.lexical.settle()
        assert self.subject.lexical.verify(self.subject.stored()) == []

    @rule()
    def reopen(self) -> None:
        self.subject.reopen()

    @rule()
    def rebuild(self) -> None:
        self.subject.lexical.rebuild()

    @rule()
    def begin_a_rebuild(self) -> None:
        self.subject.lexical._start_over()

    @rule()
    def doubt(self) -> None:
        self.subject.lexical._is_suspect = True

    @rule()
    def lose_the_folder(self) -> None:
        shutil.rmtree(self.subject.folder / "lexical", ignore_errors=True)
        self.subject.put("late", "red")  # the next that is to join what is gone
        with suppress(LexicalError):  # what was being built is begun anew, and tried again later
            self.subject.lexical.settle()
        self.subject.lexical.settle()

    @rule()
    def damage(self) -> None:
        for file in list(self.subject.folder.glob("lexical/*/*.idx"))[:1]:
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content[:-1])
            self.subject.reopen()

    @invariant()
    def every_word_is_found(self) -> None:
        if self.subject.lexical.absence is None:
            for word in WORDS:
                assert self.subject.found(word) == {n for n, text in self.subject.texts.items() if word in text.split()}
        found = self.subject.lexical.verify(self.subject.stored())
        assert set(found) <= set(self.subject.lexical.trouble), "only what a start found, until it is written anew"

    def teardown(self) -> None:
        self.subject.close()
        self.home.cleanup()


def test_any_sequence_of_writes_starts_and_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in SIZES.items():
        monkeypatch.setattr(lexical, name, size)
    run_state_machine_as_test(AnySequence, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))
