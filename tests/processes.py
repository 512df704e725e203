"""Commands in processes of their own, which are forked where torch has been imported already."""

import multiprocessing
import os
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


def job(words: list[str], environment: dict, output: str) -> None:
    """Be the process of a job of a sweep."""
    command("sweeps.one_job", environment, words, nothing, output)


class Job:
    """What a sweep does with the `Popen` of a job, for a job that is forked."""

    def __init__(self, words, stdout, env, **_):
        self.child = FORKS.Process(target=job, args=(words[-2:], env, stdout.name))
        self.child.start()
        self.pid = self.child.pid

    def wait(self) -> int:
        self.child.join()
        return self.child.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


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
