"""EvalError: what ends an evaluation; each kind is beside what raises it."""


class EvalError(Exception):
    """It cannot be measured; the message names what is wrong, and where."""
