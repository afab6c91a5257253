"""Characters that nobody sees: a copy brings them along, and who wants to hide something uses them."""

import re

# Controls but those that are whitespace; then by block what formats without being seen: zero-width spaces, marks of
# direction, soft hyphens, byte order marks, tag characters. Cf has more: signs of number in Arabic and Syriac that are
# seen, and musical ones that make a difference. Not here: the two joiners, with which scripts and emoji are spelled.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """``text`` without them."""
    return INVISIBLE.sub("", text)
