"""The keys of a server, and whether it may start with them. Brings no torch: a refusal need not wait for it."""

from service.access.configured_key import ConfiguredKey
from service.access.key_book import KeyBook
from service.access.keys import Keys
from service.access.replicated_keys import ReplicatedKeys
from service.errors import KeylessError, KeylessPagesError
from service.settings import Settings


def replicated_keys(settings: Settings) -> ReplicatedKeys:
    """Those of another process, none of which is known yet, and the configured one."""
    return ReplicatedKeys(_admin_key(settings), settings.access.keep_keys_s)


def own_keys(settings: Settings) -> KeyBook:
    """Those that no other process publishes: of the data directory, or at a replica the configured one alone.

    Raises:
        KeysUnavailableError, KeylessError: see ``opened_keys``.
    """
    admin = _admin_key(settings)
    return ConfiguredKey(admin) if settings.server.role == "replica" and admin else opened_keys(settings)


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
    return Keys(settings.data_dir, _admin_key(settings))


def _admin_key(settings: Settings) -> str | None:
    admin = settings.access.admin_key
    return admin.get_secret_value() if admin else None
