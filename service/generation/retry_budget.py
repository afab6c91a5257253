"""How many requests may be sent again: a share of those that were sent at all."""

# As in gRPC's retry throttling (gRFC A6) and Finagle's RetryBudget: when everything fails, retries may add a tenth to
# the load and no more. What was not spent is kept for a few.
_SHARE = 0.1
_MOST = 10.0


class RetryBudget:
    """A token bucket: each request puts a tenth of a token in, each retry takes one out. It begins with one token."""

    def __init__(self) -> None:
        self._tokens = 1.0

    def deposit(self) -> None:
        """A request is sent for the first time."""
        self._tokens = min(_MOST, self._tokens + _SHARE)

    def withdraw(self) -> bool:
        """True when one may be sent again; that is counted."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
