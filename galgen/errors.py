"""The one exception that commands show to the user as a sentence."""


class GalgenError(Exception):
    """Says what was wrong, where, and what to do about it."""
