"""Text as it may come in JSON, and cannot be written as UTF-8."""

from service.errors import InvalidRequestError


def require_unicode(text: str, where: str) -> str:
    """``text``, unless it holds half of a surrogate pair, which no tokenizer reads.

    Args:
        where: the field, with an index where it is a list.

    Raises:
        InvalidRequestError: naming the field and the offset.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{where} has half of a surrogate pair at offset {error.start}", param=where.partition("[")[0]
        ) from None
    return text
