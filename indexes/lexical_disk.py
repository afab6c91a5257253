"""LexicalDisk: what of a lexical index is on the disk, and how more of it gets there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from indexes.durable import discard
from indexes.errors import LexicalError, LostWordsError
from indexes.word_engine import WordEngine, Words
from indexes.word_folders import WordFolders


@dataclass(frozen=True, slots=True)
class Written:
    """What is on the disk; nothing at first."""

    path: Path | None = None
    words: Words | None = None

    @property
    def last_row(self) -> int:
        """The highest row; 0 where there is none."""
        return self.words.last_row if self.words else 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.words.corpus.rows if self.words else 0

    @property
    def segments(self) -> int:
        """How many parts tantivy has it in, each of half a dozen files that stay mapped."""
        return int(self.words.searcher.num_segments) if self.words else 0


class _Counted:
    """Entries as they go by.

    Attributes:
        rows: that went by.
    """

    def __init__(self, entries: Iterable[tuple[int, int, str]]) -> None:
        self._entries = entries
        self.rows = 0

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        for entry in self._entries:
            self.rows += 1
            yield entry


class LexicalDisk:
    """For one thread at a time.

    Args:
        folder: its alone, in a folder that exists.
        identity: of the words, see ``WordFolders``.
        version: of the collection now.

    Attributes:
        damage: what was found damaged and is not yet written anew, a sentence each.
    """

    def __init__(self, folder: Path, identity: str, version: Callable[[], int]) -> None:
        self._folders = WordFolders(folder, identity)
        self._version = version
        self.damage: list[str] = []

    @property
    def bytes(self) -> int:
        """Of all files."""
        return self._folders.bytes

    def opened(self) -> Written:
        """What is there and verifies; nothing where nothing does."""
        try:
            path = self._folders.newest(self._version(), self.damage.append)
            if path is not None:
                return Written(path, WordEngine(path).words())
        except (LexicalError, OSError) as error:
            self.damage.append(f"the lexical index cannot be opened: {error}")
        return Written()

    def write(self, base: Written, entries: Iterable[tuple[int, int, str]], served: Written | None = None) -> Written:
        """What is in ``base`` and (row, number of words, words) behind it.

        It is the only thing there from then on, but for what is ``served`` meanwhile.

        Raises:
            LostWordsError: the files of ``base`` are not what they were, and nothing can go on from them.
            LexicalError: the disk or tantivy refused; ``base`` is as it was.
        """
        counted = _Counted(entries)
        try:
            path = self._folders.begin(base.path)
            try:
                engine = WordEngine(path)
                engine.add(counted)
                words = engine.words()
                if words.corpus.rows != base.rows + counted.rows:
                    said = f"it has {words.corpus.rows} rows, not {base.rows} and {counted.rows} new ones"
                    raise LostWordsError(f"lexical index {path.name}: {said}")
                self._folders.vouch(path, self._version(), [served.path] if served else [])
            except BaseException:
                discard(path)
                raise
        except OSError as error:
            raise LexicalError(f"the lexical index cannot be written: {error}") from error
        self.damage = []
        return Written(path, words)

    def problems(self, written: Written) -> list[str]:
        """Read every byte; what is wrong, a sentence each."""
        return [] if written.path is None else self._folders.problems(written.path)

    def keep_only(self, written: Written) -> None:
        """Remove everything else, as far as that is possible."""
        self._folders.keep_only([written.path])

    def refuse_others(self, *written: Written) -> None:
        """What was removed is not there any more.

        Raises:
            LexicalError: it is; or nobody can tell.
        """
        try:
            others = self._folders.besides([each.path for each in written])
        except OSError as error:
            raise LexicalError(f"the lexical index cannot be listed: {error}") from error
        if others:
            raise LexicalError(f"lexical index {others[0].name} cannot be removed; it has words of rows that died")
