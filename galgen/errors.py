"""The exceptions that commands show to the user as a sentence."""


class GalgenError(Exception):
    """An error that its message explains: where it is, the reason and the remedy."""

    exit_code = 1
    """Of a command that it ends."""


class DamagedCheckpoint(GalgenError):
    """A checkpoint has changed since it was written."""


class InUse(GalgenError):
    """Another process trains in the run directory."""

    of_a_job = 73
    """Exit code by which a job tells its sweep to wait for the other process."""


class Unreadable(GalgenError):
    """The system does not give a file; it may be whole, so nothing may replace it."""
