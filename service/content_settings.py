"""Settings of what may be asked and answered."""

from pathlib import Path

from service.settings_group import Group


class ContentSettings(Group):
    """What screens questions and answers.

    Attributes:
        rules: a TOML file of patterns and what becomes of texts that match them; None lets every text through.
    """

    rules: Path | None = None
