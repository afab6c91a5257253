"""Bytes of a file to text: plain text, Markdown, HTML."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath

from html_to_markdown import ConversionOptions, convert
from markdown_it import MarkdownIt

from indexes.base import TextFormat
from service.errors import UnsupportedMediaTypeError

_MAX_TITLE_CHARACTERS = 1000
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class LoadedText:
    """What a file says.

    Attributes:
        title: from the file's own heading or title element; its name where it has none.
        format: of ``text``; HTML becomes Markdown.
    """

    title: str
    text: str
    format: TextFormat


def load_file(name: str, data: bytes) -> LoadedText:
    """Text of a file, read as its suffix says.

    Raises:
        UnsupportedMediaTypeError: a suffix that is not known, or bytes that are not text.
    """
    path = PurePosixPath(name)
    loader = _LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UnsupportedMediaTypeError(
            f"{name!r}: files of type {path.suffix or '(none)'!r} are not read; {', '.join(SUFFIXES)} are"
        )
    loaded = loader(path.name, decode_text(name, data))
    return replace(loaded, title=loaded.title[:_MAX_TITLE_CHARACTERS])


def decode_text(name: str, data: bytes) -> str:
    """UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnsupportedMediaTypeError: other encodings, and NUL characters, which text does not have.
    """
    bom, encoding = next(((bom, name) for bom, name in _BOMS if data.startswith(bom)), (b"", "utf-8"))
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnsupportedMediaTypeError(
            f"{name!r} is not {encoding.upper()} text: byte 0x{data[len(bom) + error.start]:02x} "
            f"at offset {len(bom) + error.start}"
        ) from None
    if "\0" in text:
        raise UnsupportedMediaTypeError(f"{name!r} is not text: NUL character at offset {text.index(chr(0))}")
    return text


def _load_text(name: str, text: str) -> LoadedText:
    return LoadedText(name, text, "text")


def _load_markdown(name: str, text: str) -> LoadedText:
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    titles = [
        content.content
        for token, content in pairwise(tokens)
        if token.type == "heading_open" and token.tag == "h1" and content.content
    ]
    return LoadedText(titles[0] if titles else name, text, "markdown")


def _load_html(name: str, text: str) -> LoadedText:
    try:
        converted = convert(text, ConversionOptions(skip_images=True))
        markdown = convert(text, ConversionOptions(skip_images=True, extract_metadata=False)).content or ""
    except Exception as error:  # a native parser on hostile input: whatever it raises is about this file
        raise UnsupportedMediaTypeError(f"{name!r} cannot be read as HTML: {error}") from error
    title = converted.metadata.document.title
    loaded = _load_markdown(name, markdown)
    return LoadedText(title or loaded.title, markdown, "markdown")


_LOADERS: dict[str, Callable[[str, str], LoadedText]] = {
    ".txt": _load_text,
    ".text": _load_text,
    ".md": _load_markdown,
    ".markdown": _load_markdown,
    ".html": _load_html,
    ".htm": _load_html,
}
SUFFIXES = tuple(_LOADERS)
