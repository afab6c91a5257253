"""Settings of who may ask."""

from pydantic import Field, SecretStr

from service.settings_group import Group


class AccessSettings(Group):
    """Keys beside those of ``quarry keys``.

    Attributes:
        admin_key: a key with all rights, of 32 characters or more; keys are needed then.
        open_metrics: GET /metrics asks for no key; it names collections and keys.
    """

    admin_key: SecretStr | None = Field(None, min_length=32, max_length=1024)
    open_metrics: bool = False
