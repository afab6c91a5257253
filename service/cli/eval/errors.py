"""EvalError: what ends an evaluation or a calibration; each kind is beside what raises it."""


class EvalError(Exception):
    """It cannot be measured; the message names what is wrong, and where."""

    exit_code = 1


class UsageError(EvalError):
    """The command line asks for what there is not."""

    exit_code = 2
