"""What `quarry up` refuses or fails at."""


class UpError(Exception):
    """The command ends; the message says what to change."""
