"""Why a bundle is not made."""


class BundleError(Exception):
    """Names what is wrong, and with which file or distribution."""
