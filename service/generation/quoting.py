"""What others wrote, as data: every line behind a mark of ours, and nothing in it that a chat template would obey."""

import re

from service.invisible import visible

_MARK = ">"
# A name that a tokenizer may know as one control token where it stands in angle brackets: the usual short ones, and any
# with an underscore or a colon, such as <end_of_turn> and <seed:bos>. HTML's elements have neither. <<SYS>> is text to
# a tokenizer, but Llama 2 was trained to obey what follows it.
_NAME = r"(?i:<?/?sys>|s|bos|eos|pad|unk|cls|sep|mask|sop|eop|think|image|video|audio|[\w:]{0,40}[_:][\w:]{0,40})"
# The first character of what could be one: <|im_end|> (with DeepSeek's wide bars too), <end_of_turn>, [/INST],
# [|system|], MiniMax's ]~b] and [e~[. Full-width brackets count, as a tokenizer that normalises makes narrow ones of
# them. Spaces and joiners behind it are looked through, so that two texts never become the same.
_LESS, _MORE, _OPEN, _CLOSE = "[<\uff1c\ufe64]", "[>\uff1e\ufe65]", r"[\[\uff3b]", r"[\]\uff3d]"
_GAP = "[ \u200c\u200d]*"
_OPENING = re.compile(
    rf"{_LESS}(?={_GAP}(?:[|\uff5c]|/?{_NAME}{_MORE}))"
    rf"|{_OPEN}(?={_GAP}(?:/?[a-z]?[A-Z][A-Z_0-9]{{2,40}}{_CLOSE}|[|\uff5c]|e~{_OPEN}))|{_CLOSE}(?={_GAP}~)"
)


def without_control_tokens(text: str) -> str:
    """``text`` without what nobody sees, and with a space in what could be a control token of a chat template.

    A model server reads the rendered prompt as one string: ``<|im_end|>`` in a document would end the user's message
    as truly as the template does. And a model reads what a person who looks at the document does not.
    """
    return _OPENING.sub(r"\g<0> ", visible(text))


def quoted(text: str) -> str:
    """``text`` with ``> `` before each of its lines, as all of Unicode counts lines; they end in line feeds."""
    lines = without_control_tokens(text).splitlines() or [""]
    return "\n".join(f"{_MARK} {line}" if line else _MARK for line in lines)


def on_one_line(text: str, longest: int) -> str:
    """``text`` without control tokens and line breaks, cut at ``longest`` characters."""
    line = " ".join(without_control_tokens(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
