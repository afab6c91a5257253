"""The URL of another server, as settings have it."""

import httpx


def server_url(url: str, secrets: str) -> httpx.URL:
    """It, parsed.

    Args:
        secrets: what becomes of a user and a password, which would stand in messages and in what shows the settings.

    Raises:
        ValueError: it is none, names no host, or has a user or a password.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.userinfo:
        raise ValueError(f"the URL has a user or a password, which it must not: {secrets}")
    if not parsed.host and parsed.scheme != "unix":
        raise ValueError(f"{url!r} has no host")
    return parsed
