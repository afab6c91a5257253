"""What others wrote, as data: every line behind a mark of ours, and nothing in it that a chat template would obey."""

import re

_MARK = ">"
# A name that a tokenizer may know as one control token where it stands in angle brackets: the usual short ones, and any
# with an underscore or a colon, such as <end_of_turn> and <seed:bos>. HTML's elements have neither.
_NAME = r"(?i:s|bos|eos|pad|unk|cls|sep|mask|sop|eop|think|image|video|audio|[\w:]{0,40}[_:][\w:]{0,40})"
# The first character of what could be one: <|im_end|> (with DeepSeek's wide bars too), <end_of_turn>, [/INST],
# [|system|], MiniMax's ]~b] and [e~[. Spaces behind it are looked through, so that two texts never become the same.
_OPENING = re.compile(
    rf"<(?= *(?:[|\uff5c]|/?{_NAME}>))|\[(?= *(?:/?[a-z]?[A-Z][A-Z_0-9]{{2,40}}\]|\||e~\[))|\](?= *~)"
)


def without_control_tokens(text: str) -> str:
    """``text`` with a space in what could be a control token of a chat template.

    A model server reads the rendered prompt as one string: ``<|im_end|>`` in a document would end the user's message
    as truly as the template does.
    """
    return _OPENING.sub(r"\g<0> ", text)


def quoted(text: str) -> str:
    """``text`` with ``> `` before each of its lines, as all of Unicode counts lines; they end in line feeds."""
    lines = without_control_tokens(text).splitlines() or [""]
    return "\n".join(f"{_MARK} {line}" if line else _MARK for line in lines)


def on_one_line(text: str, longest: int) -> str:
    """``text`` without control tokens and line breaks, cut at ``longest`` characters."""
    line = " ".join(without_control_tokens(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
