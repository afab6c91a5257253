"""The keys of a server, and whether it may start with them. Brings no torch: a refusal need not wait for it."""

from service.access.keys import Keys
from service.errors import KeylessError, KeylessPagesError
from service.settings import Settings


def opened_keys(settings: Settings) -> Keys:
    """Those of the data directory, and the configured one.

    Raises:
        KeysUnavailableError: see ``Keys``.
        KeylessError: there is none, and others than this machine can reach the address or call it by its name, or any
            web page on it may ask.
    """
    keys = configured_keys(settings)
    server = settings.server
    if not keys.are_needed and not server.is_private:
        raise KeylessError(server.host if not server.is_loopback else None, server.hosts)
    if not keys.are_needed and "*" in server.cors_origins:
        raise KeylessPagesError
    return keys


def configured_keys(settings: Settings) -> Keys:
    """The same, whoever can reach the address.

    Raises:
        KeysUnavailableError: see ``Keys``.
    """
    admin = settings.access.admin_key
    return Keys(settings.data_dir, admin.get_secret_value() if admin else None)
