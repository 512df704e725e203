"""What makes a function of a config into a command."""

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig

from galgen.config.command_line import multirun_first, name_words, readable_by_hydra
from galgen.config.explanations import check_given, explain
from galgen.config.paths import CONF, fill_in, fill_in_paths
from galgen.config.releases import is_url
from galgen.config.run_paths import locate as locate_run
from galgen.config.targets import trust
from galgen.errors import GalgenError

TRACEBACK = "GALGEN_TRACEBACK"
"""Variable of the environment: whether the user wants tracebacks, by HYDRA_FULL_ERROR=1."""


def command(
    config_name: str,
    resumes: bool = True,
    words: str | None = None,
    watched: Callable[[], AbstractContextManager] = nullcontext,
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make a function of a config into a command; its errors become a sentence.

    Args:
        config_name: the command's file in conf/, without `.yaml`.
        resumes: whether the command continues where it was interrupted.
        words: the key that takes the words of the command line that are not `key=value`.
        watched: makes a context in which the whole of it runs, all jobs of a sweep.

    Returns:
        A decorator. The decorated function takes no arguments and reads the command line. It
        exits with 1 after an error and 130 after Ctrl-C or SIGTERM; HYDRA_FULL_ERROR=1 shows
        tracebacks.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def run_task(config: DictConfig):
            try:
                check_given(config, config_name)
                trust(config.trusted_packages)
                fill_in_paths(config)
                if "run" in config:
                    find_run(config)
                return task(config)
            except Exception as error:
                if shows_tracebacks():
                    raise
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    leave(error)
                # The other jobs of a sweep continue, and Hydra raises this one's error at the end.
                print(f"galgen: {explain(error)}", file=sys.stderr)
                raise GalgenError("a job of the sweep failed, for the reason above.") from error

        @functools.wraps(task)
        def main() -> None:
            os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
            run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
            try:
                if words:
                    sys.argv[1:] = name_words(sys.argv[1:], words)
                sys.argv[1:] = readable_by_hydra(multirun_first(sys.argv[1:]))
                with ended_in_order(), watched():
                    run(run_task)()
            except BrokenPipeError:  # of `--cfg job | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(1)
            except Exception as error:
                if shows_tracebacks():
                    raise
                leave(error)
            except KeyboardInterrupt:
                then = ". The same command continues from here." if resumes else ""
                print(f"galgen: interrupted{then}", file=sys.stderr)
                sys.exit(130)

        return main

    return decorate


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let a scheduler's SIGTERM and a closed terminal end the block as Ctrl-C does.

    A process that they kill at once would leave the files that it was writing. A signal that is
    ignored, as nohup has it, stays ignored.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers = {number: kept for number, kept in handlers.items() if kept is not signal.SIG_IGN}
    for number in handlers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, kept in handlers.items():
            signal.signal(number, kept)


def shows_tracebacks() -> bool:
    """Say whether the user wants tracebacks, by HYDRA_FULL_ERROR=1."""
    return os.environ.get(TRACEBACK) == "1"


def leave(error: Exception) -> NoReturn:
    """Say what went wrong, and exit."""
    print(f"galgen: {explain(error)}", file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 1))


def find_run(config: DictConfig) -> None:
    """Put the path of each run, or what stands in its place, into `run`.

    Raises:
        GalgenError: if there is no such run.
    """
    sources = config.run if isinstance(config.run, ListConfig) else [config.run]
    given = [source if is_url(source) else fill_in("run", str(source)) for source in sources]
    found = [str(locate_run(source)) for source in given]
    config.run = found if isinstance(config.run, ListConfig) else found[0]
