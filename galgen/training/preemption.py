"""Leaving in good order when the machine is taken away, or the terminal closed."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from galgen.errors import GalgenError

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""SIGHUP is the closed terminal's, the last submitit's."""


class Preempted(GalgenError):
    """The process was stopped by a signal; the same command continues."""

    exit_code = os.EX_TEMPFAIL
    """75, which schedulers take to mean that the job is to be started again."""


def handle(handler: Callable) -> dict:
    """Set the handler of the signals; one that is ignored, as nohup has it, stays so.

    Args:
        handler: as `signal.signal` takes it.

    Returns:
        The handlers before, by signal.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextlib.contextmanager
def preemptible(before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turn the signals into `Preempted` while the block runs.

    Args:
        before: a function to call first.
    """

    def leave(number: int, frame) -> None:
        before()
        name = signal.Signals(number).name
        raise Preempted(f"stopped by {name}. The same command continues from here.")

    kept = handle(leave)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
