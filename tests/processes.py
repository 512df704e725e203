"""Commands in processes of their own, which are forked where torch has been imported already."""

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "galgen.catalogues.rows",
        "galgen.data.data_module",
        "galgen.models.vae",
        "galgen.priors.flow",
        "galgen.train",
        "galgen.training.fit",
        "matplotlib.pyplot",
        "pytest",
    ]
)


def nothing() -> None:
    """Do nothing first."""


def command(
    name: str, environment: dict, arguments: list[str], first: Callable[[], None], printed: str
):
    """Be a command that prints into a file; `first` is called in its process before."""
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(printed, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [f"galgen/{name}.py", *arguments]
    main = import_module(f"galgen.{name}").main
    first()
    main()


class Job:
    """What a sweep does with the `Popen` of a job, for a job that is forked."""

    def __init__(self, words, stdout, env, **_):
        arguments = ("sweeps.one_job", env, words[-2:], nothing, stdout.name)
        self.child = FORKS.Process(target=command, args=arguments)
        self.child.start()
        self.pid = self.child.pid

    def wait(self) -> int:
        self.child.join()
        return self.child.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def at_moments(act: Callable[[int], None], files: bool = True) -> None:
    """Have `act` called with the number of each moment: each step and, if wanted, file of a run."""
    from galgen.training.model_training import ModelTraining

    count, training_step = itertools.count(1), ModelTraining.training_step

    def step(*arguments):
        act(next(count))
        return training_step(*arguments)

    def look(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename") and "runs/" in str(arguments[0]):
            act(next(count))

    ModelTraining.training_step = step
    if files:
        sys.addaudithook(look)


def signal_at(moment: int, number: signal.Signals, files: bool = True) -> None:
    """Have this process get a signal at a moment."""
    at_moments(lambda now: now == moment and os.kill(os.getpid(), number), files)


def begin(
    name: str,
    arguments: list[str],
    first: Callable[[], None] = nothing,
    printed: str = "printed",
    **environment: str,
):
    """Begin a command in a process of its own, with variables beside those of this process."""
    words = (name, {**os.environ, **environment}, arguments, first, printed)
    child = FORKS.Process(target=command, args=words)
    child.start()
    return child


def run(name: str, arguments: list[str], first: Callable[[], None] = nothing) -> tuple[int, str]:
    """Run a command in a process of its own; return its exit code and what it printed."""
    child = begin(name, arguments, first)
    child.join()
    return child.exitcode, Path("printed").read_text(errors="replace")
