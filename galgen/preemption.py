"""Leaving in good order when the machine is taken away: SIGTERM and SIGUSR1."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from galgen.errors import GalgenError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""The last is submitit's."""


class Preempted(GalgenError):
    """The process was told to leave; the same command goes on."""

    exit_code = os.EX_TEMPFAIL
    """75, by which a scheduler tells a job that is to be started again."""


@contextlib.contextmanager
def preemptible(before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turn the signals into `Preempted` while the block runs.

    Args:
        before: what is done first.
    """

    def leave(number: int, frame) -> None:
        before()
        name = signal.Signals(number).name
        raise Preempted(f"stopped by {name}; the same command goes on from here")

    kept = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
