"""A rule file: TOML, read whole and checked, so that a server never starts with half of its rules."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.content.finder import Finder
from service.content.links import foreign_links
from service.content.personal import PersonalKind, personal
from service.content.rule import Action, Place, Rule
from service.content.scan import Expressions
from service.content.syntax import PatternError

LONGEST_MATCH = 1000
"""Characters of a match in an answer: as many may be held back of a stream."""

_MOST_RULES = 200
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Host = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$")]


class RuleFileError(Exception):
    """The rule file cannot be read or says something wrong; the message names the file and the line or the rule."""


class _Written(BaseModel):
    """A rule as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: _Name
    pattern: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    pii: PersonalKind | None = None
    links_outside: list[_Host] | None = None
    places: list[Literal["question", "answer"]] = Field(alias="in", min_length=1)
    action: Literal["block", "mask", "flag"]
    case: Literal["exact", "ignore"] | None = None
    replacement: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "_Written":
        given = [name for name in ("pattern", "pii", "links_outside") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of pattern, pii and links_outside is needed; given: {', '.join(given) or 'none'}")
        if self.case is not None and self.pattern is None:
            raise ValueError("case is of a pattern; what is built in knows its own")
        if self.replacement is not None and self.action != "mask":
            raise ValueError(f"replacement is of action 'mask', not of {self.action!r}")
        return self

    def rule(self) -> Rule:
        """The rule.

        Raises:
            PatternError: its pattern cannot be used.
        """
        replacement = f"[{self.name}]" if self.replacement is None else self.replacement
        places = frozenset(map(Place, self.places))
        rule = Rule(self.name, self._finder(), places, Action(self.action), replacement)
        if Place.ANSWER in places:
            _require_bound(rule.finder.part.longest)
        return rule

    def _finder(self) -> Finder:
        if self.pii is not None:
            return personal(self.pii)
        if self.links_outside is not None:
            return foreign_links(self.links_outside)
        return Finder.of(self.pattern or "", case_matters=self.case == "exact")


def read_rules(path: Path) -> list[Rule]:
    """The rules, in the order of the file.

    Raises:
        RuleFileError: naming what is wrong with it.
    """
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RuleFileError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RuleFileError(f"{path}: {error}") from None  # the message has line and column
    tables = written.pop("rule", [])
    if written:
        raise RuleFileError(f"{path}: {next(iter(written))!r} is not known; there are [[rule]] tables only")
    if not isinstance(tables, list) or not 0 < len(tables) <= _MOST_RULES:
        raise RuleFileError(f"{path}: one [[rule]] table at least is needed, and at most {_MOST_RULES}")
    rules = [_rule(path, number, table) for number, table in enumerate(tables, start=1)]
    _check_all(path, rules)
    return rules


def _rule(path: Path, number: int, table: Any) -> Rule:  # noqa: ANN401  what TOML holds
    name = table.get("name") if isinstance(table, Mapping) else None
    where = f"{path}: rule {number}" + (f" ({name!r})" if isinstance(name, str) else "")
    try:
        return _Written.model_validate(table).rule()
    except ValidationError as error:
        raise RuleFileError(f"{where}: {'; '.join(map(_said, error.errors()))}") from None
    except PatternError as error:
        raise RuleFileError(f"{where}: pattern: {error}") from None


def _check_all(path: Path, rules: Sequence[Rule]) -> None:
    repeated = [name for name, count in Counter(rule.name for rule in rules).items() if count > 1]
    if repeated:
        raise RuleFileError(f"{path}: two rules have the name {repeated[0]!r}")
    try:
        Expressions(rules)
    except PatternError as error:
        raise RuleFileError(f"{path}: the rules together are too much: {error}") from None


def _require_bound(longest: int | None) -> None:
    if longest is None:
        raise PatternError(
            "a match could be of any length, and what could become one is held back of an answer: "
            "write {1,64} for + and {0,64} for *, or leave 'answer' out of in"
        )
    if longest > LONGEST_MATCH:
        raise PatternError(f"a match could be of {longest} characters; in answers the limit is {LONGEST_MATCH}")


def _said(item: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    where, said = ".".join(map(str, item["loc"])), str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
