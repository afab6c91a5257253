"""Documents that a search and a cross-encoder order the other way round."""

import httpx

from three_routes import told

SERVED = {"model": "some/where/overlap"}
COUNT = 6
FILLED = (0, 2, 5, 11, 23, 47)
OFF = {"enabled": False}


def text(number: int) -> str:
    """The more words, the less of them are the question's; each number its own."""
    return f"The honey bees sleep. {' '.join(f'word{number}x{i}' for i in range(FILLED[number]))}".strip()


NEAREST_FIRST = [f"d{number}" for number in range(COUNT)]
LONGEST_FIRST = NEAREST_FIRST[::-1]


def found(reply: httpx.Response) -> list[str]:
    return [chunk["document_id"] for chunk in told(reply)["chunks"]]
