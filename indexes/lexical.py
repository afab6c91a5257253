"""LexicalIndex: the words of a collection's chunks, derived from its store and followed by every commit.

A row that is committed is in memory before the write is acknowledged, and on the disk some time later: a commit of
tantivy costs several fsyncs. What is lost in between is read from the store again, where every row above the highest
one on the disk is still to be found. Rows ascend, and a search holds what it finds to those that are alive.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexes.analysis import ANALYSIS_VERSION, Analyzer
from indexes.base import Chunk, RowIds
from indexes.chunk_words import ChunkWords
from indexes.counted_words import CountedWords
from indexes.errors import LexicalError, LostWordsError
from indexes.lexical_disk import LexicalDisk, Written
from indexes.lexical_state import Absence, LexicalState, Served
from indexes.lexical_view import LexicalView
from indexes.newest_rows import NewestRows
from indexes.store import Store

# Rows that are brought to the disk at once, and how long fewer wait: searches find them all the while.
_FLUSH_ROWS, _FLUSH_AFTER_S = 1024, 10.0
# Rows that memory takes while the disk cannot follow; with more the index is behind, and catches up from the store.
_MOST_NEWEST = 16_384
# Rows read from the store at once; so many are made up for while a collection is opened, more in the background.
_BLOCK_ROWS, _AT_ONCE = 8192, 4096
# Parts of what memory holds: each flush that fails leaves one.
_MOST_PARTS = 64
# Dead rows, and segments of few rows, that are not worth building anew for.
_FEW_DEAD, _FEW_SEGMENTS = 4096, 3
# After a failure, before the same is tried again; and between two looks at every byte because searches failed.
_PAUSE_S, _LOOK_S = 30.0, 60.0
# A step takes seconds at most; whoever closes does not wait longer for a disk that hangs.
_CLOSE_S = 10.0


class LexicalIndex:
    """Every method may be called from any thread; ``add`` and ``remove`` on the one that writes to the store.

    Args:
        store: the truth.
        folder: where it is kept, in a folder that exists.
        language: of the texts, see ``LANGUAGES``.

    Raises:
        UnknownLanguageError: no text can be read by the language.
        StoreUnavailableError: the store cannot be read.
    """

    def __init__(self, store: Store, folder: Path, language: str) -> None:
        self._store = store
        self._analyzer = Analyzer(language)
        self._closing, self._opened_at = threading.Event(), time.monotonic()
        self._words = ChunkWords(store, self._analyzer, self._closing)
        self._disk = LexicalDisk(folder, f"{language}/{ANALYSIS_VERSION}", store.version)
        self._working = threading.Lock()
        self._swap = threading.Lock()  # held for moments only, by whoever replaces what is served, written or built
        self._wake: Callable[[], None] = lambda: None
        self._failure: str | None = None
        self._not_before = self._looked_at = 0.0
        self._is_suspect = False
        self._dead, self._built_segments = 0, 1  # rows that are held and not in the store, about; after a build
        self._active: NewestRows | None = None  # what commits are appended to; None while the store tells of them
        self._pending_since: float | None = None
        self._written = self._disk.opened()  # what is served of it, or would be
        self._served = Served(LexicalView(self._written.words, ()), "building")
        self._building: Written | None = self._written  # what there is of one that is to be served
        if store.rows_above(self._written.last_row) <= _AT_ONCE:
            self._catch_up(self._written)

    @property
    def served(self) -> Served:
        """What a search works on; to be taken once, after the version that is searched is fixed."""
        return self._served

    @property
    def absence(self) -> Absence | None:
        """Why words cannot be looked for; None while they can."""
        return self._served.absence

    @property
    def view(self) -> LexicalView:
        """What there is to be searched, whole or not."""
        return self._served.view

    @property
    def is_closed(self) -> bool:
        """``close`` was called."""
        return self._closing.is_set()

    def words(self, text: str) -> Sequence[str]:
        """Of a query; none of one that tantivy fails at."""
        return self._words.of_text(text)

    def words_of(self, title: str, chunks: Sequence[Chunk]) -> CountedWords:
        """Of each chunk of a document with that title."""
        return self._words.of_chunks(title, chunks)

    def wakes(self, wake: Callable[[], None]) -> None:
        """Call that when ``due_at`` may have become earlier."""
        self._wake = wake

    def add(self, rows: Sequence[int], words: CountedWords) -> None:
        """Follow a commit, before a search can see it. Nothing is raised: the commit stands."""
        with self._swap:
            if self._active is None:
                return  # whoever builds the index will read them from the store
            was_due = self.due_at
            is_too_much = self._newest_rows + len(rows) > _MOST_NEWEST
            try:
                if not is_too_much:
                    self._active.extend(rows, words)
            except Exception as error:  # out of memory, say: an edge, as the vectors of the commit are still to follow
                self._failure, is_too_much = str(error) or type(error).__name__, True
            if is_too_much:
                self._fall_behind(self._building or self._written)
            elif self._pending_since is None:
                self._pending_since = time.monotonic()
            is_due_earlier = self.due_at < was_due
        if is_due_earlier:
            self._wake()

    def remove(self, rows: Sequence[int]) -> None:
        """Rows died; they are held until something is built anew."""
        self._dead += len(rows)

    @property
    def due_at(self) -> float:
        """``time.monotonic()`` at which ``step`` has something to do; infinity while nothing is waiting."""
        if self.is_closed:
            return math.inf
        if self._is_suspect or self._building or self._wants_renewal:
            return self._not_before
        # Damage that a start found is told of before it is made good.
        since = self._opened_at if self._disk.damage and self._pending_since is None else self._pending_since
        if since is None:
            return math.inf
        return max(self._not_before, since + (0.0 if self._newest_rows >= _FLUSH_ROWS else _FLUSH_AFTER_S))

    def step(self) -> None:
        """Do what is due most: look at every byte, build by a block of rows, or bring the newest rows to the disk.

        Raises:
            LexicalError, StoreUnavailableError: what was there stays, and it is tried again later.
        """
        with self._working:
            if self.is_closed:
                return
            try:
                self._step()
            except Exception as error:  # of whatever kind, it would be met again at once; the caller hears of it
                if self.is_closed:
                    return
                self._failure = str(error) or type(error).__name__
                self._not_before = time.monotonic() + _PAUSE_S
                self._explain("failing")
                raise
            self._failure = None
            self._explain("building")

    def settle(self) -> None:
        """Bring everything to the disk, due or not.

        Raises:
            LexicalError, StoreUnavailableError: as ``step``.
        """
        while not self.is_closed and (self._is_suspect or self._building or self._disk.damage or self._newest_rows):
            self.step()

    def distrust(self, error: Exception) -> None:
        """A search failed: every byte is looked at soon, and what is damaged is built anew."""
        self._failure = str(error)
        if time.monotonic() > self._looked_at + _LOOK_S:
            self._is_suspect = True
            self._wake()

    def rebuild(self) -> None:
        """Read the store again; nothing of rows that are not there any more is left in files or memory.

        Searches go on with what is there until that is done.

        Raises:
            LexicalError, StoreUnavailableError: what is there stays; or files of it cannot be removed.
        """
        with self._working:
            self._start_over()
        while self._building and not self.is_closed:
            self.step()
        with self._working:
            self._disk.refuse_others(self._written, self._building or self._written)

    def verify(self, stored: RowIds) -> list[str]:
        """Read every byte on the disk, and look for every row; what is, or at the start was, wrong, a sentence each.

        Args:
            stored: ``(n,)`` rows of a commit that was followed, ascending.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        with self._working:
            problems = [*self._disk.damage, *self._disk.problems(self._written)]
            served = self._served
            if served.absence:
                return problems
            try:
                missing = np.setdiff1d(stored, served.view.holding(stored))
            except LexicalError as error:
                return [*problems, str(error)]
        if len(missing):  # what was deleted meanwhile may have left
            with self._store.snapshot() as snapshot:
                missing = np.array(sorted(snapshot.living(missing.tolist())), dtype=np.int64)
        if len(missing):
            problems.append(f"{len(missing)} stored rows are not in the lexical index, as row {missing[0]}")
        return problems

    @property
    def trouble(self) -> list[str]:
        """What was found damaged and is not yet written anew, and why something that is due is not done."""
        return [*self._disk.damage, *([f"lexical index: {self._failure}"] if self._failure else [])]

    @property
    def state(self) -> LexicalState:
        """Counts, for the status page."""
        view, newest = self.view, self._newest_rows
        return LexicalState(self.absence or "ready", view.rows, newest, self._disk.bytes, view.memory_bytes)

    def close(self) -> None:
        """End what is being written; nothing is begun after this."""
        self._closing.set()
        if self._working.acquire(timeout=_CLOSE_S):
            self._working.release()
        self._wake()

    def _step(self) -> None:
        was_building = self._building is not None
        try:
            if self._is_suspect:
                self._look()
            elif self._building:
                self._build(self._building)
            elif self._wants_renewal:
                self._start_over()
            else:
                self._flush()
        except LostWordsError as error:
            self._disk.damage.append(str(error))
            self._start_over()
            if was_building:
                raise  # whoever removes it again is not to keep this thread busy

    def _look(self) -> None:
        self._looked_at, self._is_suspect = time.monotonic(), False
        if problems := self._disk.problems(self._written):
            self._disk.damage += problems
            with self._swap:
                self._fall_behind(Written())

    def _build(self, base: Written) -> None:
        """A block of rows that the store has above those of ``base``."""
        texts = self._store.texts(base.last_row, _BLOCK_ROWS)
        if texts:
            entries = self._words.while_wanted(self._words.entries(texts))
            base = self._disk.write(base, entries, served=None if self.absence else self._written)
            self._built_segments = base.segments
            with self._swap:
                self._building = base
                if self.absence:
                    self._written = base
                    self._served = replace(self._served, view=LexicalView(base.words, ()))
        if len(texts) < _BLOCK_ROWS:
            self._catch_up(base)

    def _catch_up(self, base: Written) -> None:
        """Serve ``base`` and the rows behind it, which are few; those that are committed meanwhile are recorded."""
        recording = NewestRows()
        with self._swap:
            self._active = recording
            if not self.absence:
                self._served = Served(replace(self.view, newest=(*self.view.newest, recording)), None)
        try:
            behind = self._words.above(base.last_row, _BLOCK_ROWS)
            stored = self._store.counts()[1]
        except BaseException:
            with self._swap:
                self._fall_behind(base)
            raise
        with self._swap:
            if self._active is not recording:  # it has grown too long
                return
            self._written, self._building = base, None
            self._served = Served(LexicalView(base.words, (behind, recording)), None)
            self._pending_since = time.monotonic() if self._newest_rows else None
            self._dead = max(0, self.view.rows - stored)
        self._disk.keep_only(base)

    def _flush(self) -> None:
        """The newest rows join what is on the disk."""
        with self._swap:
            base, frozen, self._active = self._written, self.view.newest, NewestRows()
            self._served = replace(self._served, view=replace(self.view, newest=(*frozen, self._active)))
            if len(frozen) > _MOST_PARTS:
                return self._fall_behind(base)
        entries = LexicalView(base.words, frozen).newest_entries()
        written = self._disk.write(base, self._words.while_wanted(entries))
        with self._swap:
            self._written = written
            if self._building:  # there were too many meanwhile
                self._building = written
                self._served = replace(self._served, view=LexicalView(written.words, ()))
            else:
                self._served = Served(LexicalView(written.words, self.view.newest[len(frozen) :]), None)
                self._pending_since = time.monotonic() if self._newest_rows else None

    def _start_over(self) -> None:
        """Read the whole store; what is served is served until then."""
        with self._swap:
            if self.absence:
                self._fall_behind(Written())
            else:
                self._building = Written()

    def _fall_behind(self, base: Written) -> None:
        """Words are not looked for until the store was read again from ``base`` on; under the lock."""
        self._active, self._pending_since = None, None
        self._written = self._building = base
        self._served = Served(LexicalView(base.words, ()), "building")

    def _explain(self, absence: Absence) -> None:
        with self._swap:
            if self.absence:
                self._served = replace(self._served, absence=absence)

    @property
    def _newest_rows(self) -> int:
        return sum(map(len, self.view.newest))

    @property
    def _wants_renewal(self) -> bool:
        """Most rows are dead, or few rows take many files."""
        is_scattered = self._written.segments > _FEW_SEGMENTS * self._built_segments
        is_small = self._written.rows <= _BLOCK_ROWS // 2  # so that one block has it all
        return (is_small and is_scattered) or self._dead > max(_FEW_DEAD, self.view.rows - self._dead)
