r"""Links that lead to hosts that are not one's own, however Markdown writes them.

An answer that a page renders may carry away what was said in it: an image's address is asked for without a click, and
whoever wrote a document can ask the model to put the conversation into it. So the target of a Markdown link or image
and of a reference is a match unless it is seen to be harmless: relative, or http(s) to a listed host, and without
character references or backslashes, which Markdown resolves. With the target the whole link is the match, where its
label has one line and sixty characters. Elsewhere a match is what renderers make a link of: an address with a
scheme of the web, ``www.``, or ``//`` before what looks like a host.
"""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from service.content.finder import Check, Finder, Verdict

# Blanks and ``<`` in any order before a target; where there are more, what follows is not looked at.
_BLANKS = r"[\s\v<]"
_LABEL = r"(?:!?\[[^\[\]\r\n]{0,60})?\]"
_TARGET = r"[^\s\v<>)]{1,800}>?"
_TITLE = r"""(?:"[^"\r\n]{0,50}"|'[^'\r\n]{0,50}'|\([^()\r\n]{0,50}\))?"""
_CLOSED = rf"(?:[\s\v]{{0,4}}{_TITLE}[\s\v]{{0,2}}\))?"
_LINK = rf"{_LABEL}(?:\({_BLANKS}{{0,64}}{_TARGET}{_CLOSED}|:{_BLANKS}{{0,64}}{_TARGET}|[(:]{_BLANKS}{{65}})"
_ADDRESS = r"(?:\b(?:https?|ftp|wss?):[/\\]{0,8}|\bwww\.)[^\s<>()\[\]\"'`]{1,800}"
_WITHOUT_SCHEME = r"[/\\]{2,8}(?:[0-9A-Za-z\x{80}-\x{10FFFF}-]{1,63}\.|\d{1,10}[/?]|\[)[^\s<>()\"'`]{1,800}"
_LEAD = re.compile(r"(!?\[)?[^\[\]]*\][(:][\s<]*")
_TARGET_ALONE = re.compile(r"[^\s<>)]*")
_REWRITTEN = re.compile(r"\\|&#|&[A-Za-z][A-Za-z0-9]*;")
_BEHIND = ".,;:!?*_~"


def foreign_links(hosts: Collection[str]) -> Finder:
    """Finds links to other hosts.

    Args:
        hosts: one's own; ``*.example.com`` stands for every name below, and not for that itself.
    """
    pattern = f"{_LINK}|{_ADDRESS}|{_WITHOUT_SCHEME}"
    return Finder.of(pattern, _foreign_to(frozenset(map(str.casefold, hosts))), case_matters=False)


def _foreign_to(hosts: Collection[str]) -> Check:
    def check(text: str, start: int, end: int) -> Verdict:
        lead = _LEAD.match(text, start, end)
        if lead is None:
            end -= len(text[start:end]) - len(text[start:end].rstrip(_BEHIND))
            return Verdict(not _is_harmless(text[start:end], hosts), end, end)
        target = _TARGET_ALONE.match(text, lead.end(), end)
        if target is None or not target[0] or not _is_harmless(target[0], hosts):
            return Verdict(True, end, end)
        # A label and a title may have addresses in them.
        return Verdict(False, end, lead.end(1) if lead[1] else target.end())

    return check


def _is_harmless(target: str, hosts: Collection[str]) -> bool:
    """Whether a target stays here."""
    if _REWRITTEN.search(target):
        return False
    if target.casefold().startswith("www."):
        target = f"//{target}"
    elif target.startswith("//"):
        target = f"//{target.lstrip('/')}"  # as browsers read it, however many there are
    try:
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        return False
    if not parts.scheme and not parts.netloc:
        return True
    if host is None or parts.scheme.casefold() not in {"", "http", "https"}:
        return False
    return host in hosts or any(f"*.{parent}" in hosts for parent in _above(host))


def _above(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(1, len(labels))]
