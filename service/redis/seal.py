"""Seal: what is read from a place that others may write to counts only as it was written there."""

import hashlib
from hmac import compare_digest

_MARK_BYTES = 32


class Seal:
    """Marks values by BLAKE2b with a key, for the place they are written to.

    Args:
        secret: whoever has it can seal.
    """

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(secret.encode()).digest()

    def sealed(self, place: str, data: bytes) -> bytes:
        """The data behind its mark."""
        return self.mark(place, data) + data

    def opened(self, place: str, value: bytes) -> bytes | None:
        """The data of a sealed value; None where it is none of that place."""
        mark, data = value[:_MARK_BYTES], value[_MARK_BYTES:]
        return data if compare_digest(mark, self.mark(place, data)) else None

    def mark(self, place: str, data: bytes) -> bytes:
        """32 bytes that tell data and place, and that nobody without the secret can make."""
        name = place.encode()
        length = len(name).to_bytes(4, "big")  # so that no byte of one is taken for one of the other
        return hashlib.blake2b(length + name + data, key=self._key, digest_size=_MARK_BYTES).digest()
