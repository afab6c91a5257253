"""RuleScreen: screens by the rules of a file."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from service.content.base import AnswerScreen
from service.content.folding import folded
from service.content.redaction import Redaction
from service.content.rule import Action, Place, Rule
from service.content.scan import Expressions, Match, Scan
from service.errors import ContentBlockedError

# Called with name, action and place for each match.
Count = Callable[[str, str, str], None]

_log = logging.getLogger("quarry.content")


class RuleScreen:
    """Screens by rules: a protocol's ``Screen``.

    Args:
        on_match: called with a rule's name, its action and the place, for each match.
    """

    def __init__(self, rules: Sequence[Rule], on_match: Count) -> None:
        self._on_match = on_match
        self._rules = {place: _Rules([rule for rule in rules if place in rule.places]) for place in Place}

    def question(self, texts: Sequence[str], param: str, request_id: str) -> list[str]:
        """The texts with what is to be masked in them masked.

        Raises:
            ContentBlockedError: naming the rule, and nothing of the text.
        """
        if not self._rules[Place.QUESTION].are_some:
            return list(texts)
        tally = _Tally(self._on_match, Place.QUESTION, request_id)
        passed: list[str] = []
        for text in texts:
            screen = _TextScreen(self._rules[Place.QUESTION], tally)
            passed.append(screen.feed(text, is_all=True))
            if screen.blocked_by is not None:
                raise ContentBlockedError(screen.blocked_by, param)
        return passed

    def shown(self, text: str, place: Place) -> str:
        """What of a whole text is shown; it is not logged that a rule matches."""
        rules, tally = self._rules[place], _Tally(self._on_match, place)
        return _TextScreen(rules, tally).feed(text, is_all=True) if rules.are_some else text

    def answer(self, request_id: str) -> AnswerScreen | None:
        """For a new answer; None where no rule looks at answers."""
        rules = self._rules[Place.ANSWER]
        return _TextScreen(rules, _Tally(self._on_match, Place.ANSWER, request_id)) if rules.are_some else None


class _Rules:
    """Those of one place. What is only flagged is shown at once, and so it is looked for apart."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.order = {rule.name: i for i, rule in enumerate(rules)}
        changing = [rule for rule in rules if rule.action is not Action.FLAG]
        flagging = [rule for rule in rules if rule.action is Action.FLAG]
        self.changing = Expressions(changing) if changing else None
        self.flagging = Expressions(flagging) if flagging else None
        self.are_some = bool(rules)

    def rank(self, match: Match) -> tuple[int, bool, int]:
        """In what order matches take effect: by their start; there a block first, then as the file has them."""
        return match.start, match.rule.action is not Action.BLOCK, self.order[match.rule.name]


class _Tally:
    """Counts matches, and says once of each rule that it matched; with no request there is nobody to say it of."""

    def __init__(self, on_match: Count, place: Place, request_id: str | None = None) -> None:
        self._on_match = on_match
        self._place = place
        self._request_id = request_id
        self._times = Counter[str]()

    def add(self, rule: Rule) -> None:
        """A match."""
        self._on_match(rule.name, rule.action, self._place)
        self._times[rule.name] += 1
        if self._times[rule.name] == 1 and self._request_id is not None:
            said = {"rule": rule.name, "action": str(rule.action), "where": str(self._place)}
            _log.info("a content rule matched", extra=said | {"request_id": self._request_id})


class _TextScreen:
    """One text, whole or as it is written."""

    def __init__(self, rules: _Rules, tally: _Tally) -> None:
        self._rules = rules
        self._tally = tally
        self._changing = Scan(rules.changing) if rules.changing else None
        self._flagging = Scan(rules.flagging) if rules.flagging else None
        self._redaction = Redaction()
        self._sources: list[int] = []  # offsets in the text of the characters that are matched, undecided and the last
        self._first = 0  # of them, among all that are matched
        self.blocked_by: str | None = None
        self.decided = 0

    @property
    def is_blocked(self) -> bool:
        """A rule that blocks has matched."""
        return self.blocked_by is not None

    def feed(self, text: str, *, is_all: bool = False) -> str:
        """What can be shown now; with ``is_all`` the text ends with this piece."""
        piece, offset = folded(text), self._redaction.length
        self._redaction.add(text)
        self._flag(piece.text, is_all=is_all)
        if self._changing is None:
            self.decided = self._redaction.length
            return self._redaction.upto(self.decided)
        self._sources.extend(offset + source for source in piece.sources)
        matches = self._changing.feed(piece.text, is_all=is_all)
        return self._shown(sorted(matches, key=self._rules.rank), self._changing.decided)

    def flush(self) -> str:
        """What was still held back."""
        return self.feed("", is_all=True)

    def shown_at(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a decided span is shown."""
        return self._redaction.shown_at(start, end)

    def _flag(self, text: str, *, is_all: bool) -> None:
        for match in self._flagging.feed(text, is_all=is_all) if self._flagging else ():
            self._tally.add(match.rule)

    def _shown(self, matches: Sequence[Match], decided: int) -> str:
        shown: list[str] = []
        for match in matches:
            self._tally.add(match.rule)
            start, end = self._source(match.start), self._source(match.end - 1) + 1
            if match.rule.action is Action.BLOCK:
                shown.append(self._redaction.upto(start))
                self.blocked_by, self.decided = match.rule.name, start
                return "".join(shown)
            shown.append(self._redaction.mask(start, end, match.rule.replacement))
        self.decided = self._source(decided)
        shown.append(self._redaction.upto(self.decided))
        kept = decided - self._first
        self._sources, self._first = self._sources[kept:], decided
        return "".join(shown)

    def _source(self, position: int) -> int:
        """Where a character that is matched came from; of the end of the text, that."""
        i = position - self._first
        return self._sources[i] if i < len(self._sources) else self._redaction.length
