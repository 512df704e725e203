"""The exceptions that commands show to the user as a sentence."""


class GalgenError(Exception):
    """Says what was wrong, where, and what to do about it."""

    exit_code = 1
    """Of a command that it ends."""


class DamagedCheckpoint(GalgenError):
    """A checkpoint is no longer what was written."""


class InUse(GalgenError):
    """Another process trains in the run directory."""

    of_a_job = 73
    """Exit code by which a job tells its sweep to wait for the other process."""


class Unreadable(GalgenError):
    """The system does not give a file; it may be whole, so nothing may replace it."""
