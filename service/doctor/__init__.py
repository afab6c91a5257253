"""``quarry doctor``: what keeps a server of these settings from running well, and what to do about it."""
