"""Trainings that are killed, interrupted, begun twice or short of disk come to the same end."""

import errno
import itertools
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from galgen.checkpoints import read_checkpoint
from tests.conftest import only_run, small_training, write_discs
from tests.test_train import assert_same_training

EPOCHS = 12
FORKS = multiprocessing.get_context("forkserver")
"""Makes processes that need not import torch anew."""
FORKS.set_forkserver_preload(
    ["galgen.train", "galgen.callbacks", "galgen.models.vae", "galgen.data.surveys", "pytest"]
)


def train(environment: dict, arguments: list[str], first: Callable[[], None], printed: str):
    """Be a training that prints into a file; something is done in its process first."""
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(printed, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["galgen/train.py", *arguments]
    from galgen.train import main

    first()
    main()


def begin(arguments: list[str], first: Callable[[], None] = int, printed: str = "printed"):
    """Begin a training in a process of its own."""
    child = FORKS.Process(target=train, args=(dict(os.environ), arguments, first, printed))
    child.start()
    return child


def run(arguments: list[str], first: Callable[[], None] = int) -> tuple[int, str]:
    """Run a training in a process of its own; return its exit code and what it printed."""
    child = begin(arguments, first)
    child.join()
    return child.exitcode, Path("printed").read_text(errors="replace")


def at_moments(act: Callable[[int], None]) -> None:
    """Have `act` called with the number of each moment: each step, and each file of a run."""
    from galgen.models.vae import VAE

    count, training_step = itertools.count(1), VAE.training_step

    def step(*arguments):
        act(next(count))
        return training_step(*arguments)

    def look(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename") and "runs/" in str(arguments[0]):
            act(next(count))

    VAE.training_step = step
    sys.addaudithook(look)


def signal_at(moment: int, number: signal.Signals) -> None:
    """Have this process get a signal at a moment."""
    at_moments(lambda now: now == moment and os.kill(os.getpid(), number))


def note_moments() -> None:
    """Leave the number of the last moment in a file."""
    at_moments(lambda now: Path("moments").write_text(str(now)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[list[str], Path, int]:
    """Train without interruption; give the arguments, the run, and the number of moments."""
    folder = tmp_path_factory.mktemp("whole")
    arguments = small_training(write_discs(folder / "survey.h5"))
    arguments += [f"trainer.max_epochs={EPOCHS}", "callbacks.pictures.times=1", "lr_schedule=plateau", "lr_schedule.patience=0", "lr_schedule.factor=0.7", "+lr_schedule.threshold=0.05", "data.augment=true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, printed = run(arguments, note_moments)
    assert code == 0, printed
    return arguments, only_run(folder / "runs"), int((folder / "moments").read_text())


def test_killed_twenty_times_a_run_ends_like_an_uninterrupted_one(whole):
    arguments, uninterrupted, moments = whole
    draw, limit = random.Random(0), moments // EPOCHS * 2
    for moment in [draw.randint(1, limit) for _ in range(20)]:
        code, printed = run(arguments, partial(signal_at, moment, signal.SIGKILL))
        assert code == -signal.SIGKILL, (moment, printed)
    code, printed = run(arguments)
    assert code == 0, printed
    assert_same_training(only_run(), uninterrupted)
