"""Settings of what may be asked and answered."""

from pathlib import Path

from service.settings_group import Group


class ContentSettings(Group):
    """What screens questions and answers.

    Attributes:
        rules: a TOML file of patterns and what becomes of texts that match them; None lets every text through. A
            relative path is below the working directory of the process, and not beside the file of settings.
    """

    rules: Path | None = None
