"""The licences of what a bundle brings, as one text."""

from collections.abc import Iterator, Sequence

from deploy.bundle.wheel import Wheel

_RULE = "=" * 100
_PREFACE = """\
What this environment is made of, by whom it may be used and how: each distribution's licence as its metadata state it,
then every text that came with it, unchanged.

"""


def third_party_licences(wheels: Sequence[Wheel]) -> str:
    """A table, then the texts; one that several bring is there once."""
    return _PREFACE + "".join(map(_row, wheels)) + "".join(_texts(wheels))


def _row(wheel: Wheel) -> str:
    stated = wheel.licence or "states no licence"
    without = "" if wheel.licence_texts else " (comes without a text)"
    return f"{wheel.name} {wheel.version}: {stated}{without}\n"


def _texts(wheels: Sequence[Wheel]) -> Iterator[str]:
    first: dict[str, str] = {}
    for wheel in wheels:
        for path, text in wheel.licence_texts.items():
            title = f"{wheel.name} {wheel.version}: {path}"
            seen = first.setdefault(text, title)
            yield f"\n{_RULE}\n{title}\n{_RULE}\n\n"
            yield f"As {seen}\n" if seen != title else f"{text.rstrip()}\n"
