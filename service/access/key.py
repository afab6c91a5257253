"""Key: who may ask this server, for what, and how much."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from typing import NamedTuple

from service.access.rights import ALL, Rights

PREFIX = "quarry"
ADMIN_ID = "configured"
_ID_BYTES = 8
_SECRET_BYTES = 32
_TEXT = re.compile(rf"{PREFIX}\.([0-9a-f]{{{2 * _ID_BYTES}}})\.([A-Za-z0-9_-]{{43}})")
_TEXT_WITHIN = re.compile(rf"({PREFIX}\.[0-9a-f]{{{2 * _ID_BYTES}}}\.)[A-Za-z0-9_-]+")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}")


class Presented(NamedTuple):
    """A key as a client shows it."""

    id: str
    secret: str

    def __str__(self) -> str:
        """The text form, for the one moment in which it is shown to who made it."""
        return f"{PREFIX}.{self.id}.{self.secret}"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much one key may ask for; None is no limit of its own.

    Attributes:
        requests_per_minute: that are begun.
        tokens_per_minute: read and written by the models for it, those of its uploads included.
        concurrency: requests at a time.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


UNLIMITED = KeyLimits()


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept; nobody can make the secret of it.

    Attributes:
        id: public; logs name it.
        name: what it is called by whoever made it.
        digest: SHA-256 of the secret, which has 256 random bits, so that no salt and no slow hash is needed.
        created_at: Unix time, as ``revoked_at``; None is a key that holds.
    """

    id: str
    name: str
    digest: bytes
    rights: Rights
    limits: KeyLimits = UNLIMITED
    created_at: float = 0.0
    revoked_at: float | None = None

    @property
    def is_revoked(self) -> bool:
        """It opens nothing any more."""
        return self.revoked_at is not None

    def fits(self, secret: str) -> bool:
        """Whether this is its secret; takes as long where it is not."""
        return compare_digest(self.digest, digest_of(secret))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as its maker wants it."""

    name: str
    rights: Rights
    limits: KeyLimits = UNLIMITED


def configured_key(secret: str | None) -> Key | None:
    """The one of ``access.admin_key``, with all rights and no limits; None where that is not set."""
    return Key(ADMIN_ID, ADMIN_ID, digest_of(secret), ALL) if secret else None


def digest_of(secret: str) -> bytes:
    """SHA-256."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def new_secret() -> Presented:
    """One that nobody can guess, with an id that no other has."""
    return Presented(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))


def without_secrets(text: str) -> str:
    """A text that is shown or logged, with the secret of whatever looks like a key, or the beginning of one, masked."""
    return _TEXT_WITHIN.sub(r"\1***", text)


def presented(text: str) -> Presented | None:
    """What a client shows; None where it is no key of ours."""
    found = _TEXT.fullmatch(text)
    return Presented(*found.groups()) if found else None
