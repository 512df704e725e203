"""Trainings that are killed, interrupted, begun twice or short of disk come to the same end.

And what is evil in a run is refused, and not executed.
"""

import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import galgen
from galgen.config.paths import CONF
from galgen.errors import GalgenError
from galgen.models.checkpoints import read_checkpoint
from galgen.runs.metrics import read_metrics
from galgen.runs.reading import find_runs
from tests import processes
from tests.config.test_config import COMMANDS
from tests.conftest import assert_same_training, only_run, small_training, write_discs
from tests.sweeps.test_sweeps import records_of

EPOCHS = 12
LAST = Path("checkpoints") / "last.ckpt"


def note_moments() -> None:
    """Leave the number of the last moment in a file."""
    processes.at_moments(lambda now: Path("moments").write_text(str(now)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[list[str], Path, int]:
    """Train without interruption; give the arguments, the run, and the number of moments."""
    folder = tmp_path_factory.mktemp("whole")
    arguments = small_training(write_discs(folder / "survey.h5"))
    arguments += [
        f"trainer.max_epochs={EPOCHS}",
        "lr_schedule=plateau",
        "lr_schedule.patience=0",
        "lr_schedule.factor=0.7",
        "+lr_schedule.threshold=0.05",
        "data.augment=true",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, printed = processes.run("train", arguments, note_moments)
    assert code == 0, printed
    return arguments, only_run(folder / "runs"), int((folder / "moments").read_text())


def test_killed_twenty_times_a_run_ends_like_an_uninterrupted_one(whole):
    arguments, uninterrupted, moments = whole
    draw, limit = random.Random(0), moments // EPOCHS * 2
    for moment in [draw.randint(1, limit) for _ in range(20)]:
        code, printed = processes.run(
            "train", arguments, partial(processes.signal_at, moment, signal.SIGKILL)
        )
        assert code == -signal.SIGKILL, (moment, printed)
    code, printed = processes.run("train", arguments)
    assert code == 0, printed
    assert not list(Path("runs").rglob("*.part"))
    assert_same_training(only_run(), uninterrupted)


def test_ctrl_c_at_any_moment_says_that_the_run_can_go_on(whole):
    arguments, uninterrupted, moments = whole
    draw = random.Random(1)
    for moment in [draw.randint(1, moments // 6) for _ in range(6)]:
        code, printed = processes.run(
            "train", arguments, partial(processes.signal_at, moment, signal.SIGINT)
        )
        assert code == 130, (moment, printed)
        assert "galgen: interrupted. The same command continues from here." in printed
        assert "Traceback" not in printed
    assert processes.run("train", arguments)[0] == 0
    assert_same_training(only_run(), uninterrupted)


def wait_in_the_first_step(other_left) -> None:
    """Have the first step of this process wait until the other process has left."""
    processes.at_moments(lambda now: other_left.wait(), files=False)


def test_of_two_processes_that_begin_one_run_at_once_one_trains(whole):
    arguments, uninterrupted, _ = whole
    first = partial(wait_in_the_first_step, other_left := processes.FORKS.Event())
    both = {
        printed: processes.begin("train", arguments, first, printed) for printed in ("one", "two")
    }
    wait([child.sentinel for child in both.values()])
    other_left.set()
    for child in both.values():
        child.join()
    assert sorted(child.exitcode for child in both.values()) == [0, 1]
    refused = next(printed for printed, child in both.items() if child.exitcode)
    assert "in use by another process" in Path(refused).read_text()
    assert_same_training(only_run(), uninterrupted)


def limit_files(size: int) -> None:
    """Have no file of this process grow beyond a size."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def assert_that_it_goes_on(arguments: list[str], uninterrupted: Path) -> None:
    """Check what a training left that ran out of room, and that it goes on."""
    assert not list(Path("runs").rglob("*.part"))
    for path in Path("runs").rglob("*.ckpt"):
        read_checkpoint(path)
    code, printed = processes.run("train", arguments)
    assert code == 0, printed
    assert_same_training(only_run(), uninterrupted)


@pytest.mark.parametrize(("size", "file"), [(2_000, "config.yaml"), (20_000, "best.ckpt")])
def test_a_limit_on_files_ends_with_a_sentence(whole, size, file):
    arguments, uninterrupted, _ = whole
    code, printed = processes.run("train", arguments, partial(limit_files, size))
    assert code == 1
    assert "files may not be so large here (ulimit -f) while writing" in printed
    assert f"/{file}. The same command continues" in printed
    assert "Traceback" not in printed
    assert_that_it_goes_on(arguments, uninterrupted)


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Work on a file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    monkeypatch.chdir(place)
    yield place
    monkeypatch.chdir(tmp_path)
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("pages", [2, 20])
def test_a_full_disk_ends_with_a_sentence(whole, small_disk, pages):
    arguments, uninterrupted, _ = whole
    room = os.statvfs(small_disk)
    Path("filler").write_bytes(bytes((room.f_bavail - pages) * room.f_frsize))
    code, printed = processes.run("train", arguments)
    assert code == 1
    assert "the disk is full while writing" in printed
    assert "Traceback" not in printed
    Path("filler").unlink()
    assert_that_it_goes_on(arguments, uninterrupted)


def parent_and_state(pid: int) -> tuple[int, str]:
    """Return the parent of a process and its state; Z of one that has ended."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[:2]
    except (FileNotFoundError, ProcessLookupError):  # ended before, or while it was read
        return 0, "Z"
    return int(parent), state


def wait_for(process: subprocess.Popen, happened: Callable[[], bool]) -> None:
    """Wait until something has happened that a process is to do."""
    while not happened():
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended with {process.wait(0.1)}: {process.stdout.read()}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere jobs outlive what started them")
@pytest.mark.usefixtures("forked_jobs")
def test_a_killed_worker_and_ctrl_c_leave_no_process_and_a_sweep_that_goes_on(
    command, small, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sweep_words = ["-m", "seed=0,1", *small, "trainer.max_epochs=60"]
    words = [sys.executable, "-m", "galgen.train", *sweep_words, "launcher=joblib"]

    def begin_sweep() -> tuple[subprocess.Popen, list[int]]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        sweep = subprocess.Popen(words, **streams, start_new_session=True)
        wait_for(sweep, lambda: sum(job["pid"] > 0 for job in records_of(sweep.pid)) == 2)
        return sweep, [job["pid"] for job in records_of(sweep.pid)]

    sweep, jobs = begin_sweep()
    wait_for(sweep, lambda: len(list(Path("runs").rglob("last.ckpt"))) == 2)
    os.kill(parent_and_state(jobs[0])[0], signal.SIGKILL)
    assert sweep.wait() == 1
    assert [parent_and_state(pid)[1] for pid in jobs] == ["Z", "Z"]
    printed = sweep.stdout.read()
    assert "2 cut" in printed
    assert "galgen: a process that starts jobs was killed" in printed
    assert "Traceback" not in printed
    for log in Path(os.environ["GALGEN_CACHE"]).rglob(f"*-{sweep.pid}/*.log"):
        assert "stopped by a signal. The same command continues from here." in log.read_text()

    sweep, jobs = begin_sweep()
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.wait() == 130
    assert [parent_and_state(pid)[1] for pid in jobs] == ["Z", "Z"]
    printed = sweep.stdout.read()
    assert "galgen: interrupted. The same command continues from here." in printed
    assert "Traceback" not in printed

    code, printed = command("train", *sweep_words)
    assert code == 0, printed
    assert "sweep: 2 done" in printed
    assert [len(read_metrics(path)) for path in find_runs([Path("runs")])] == [60, 60]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere jobs outlive what started them")
@pytest.mark.usefixtures("forked_jobs")
def test_trainings_end_with_a_sweep_that_is_killed(command, small, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sweep_words = ["-m", "seed=0,1", *small, "trainer.max_epochs=60"]
    words = [sys.executable, "-m", "galgen.train", *sweep_words, "launcher=joblib"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    sweep = subprocess.Popen(words, **streams)
    paused = set()

    def pause_at_the_first_checkpoint() -> bool:
        """Keep one training from its end while the other starts."""
        for job in records_of(sweep.pid):
            if job["pid"] not in paused and (Path(job["run"]) / LAST).is_file():
                os.kill(job["pid"], signal.SIGSTOP)
                paused.add(job["pid"])
        return len(paused) == 2

    wait_for(sweep, pause_at_the_first_checkpoint)
    trainings = sorted(paused)
    workers = [parent_and_state(pid)[0] for pid in trainings]
    sweep.kill()
    sweep.wait()
    for pid in trainings:
        os.kill(pid, signal.SIGCONT)
    while any(parent_and_state(pid)[1] != "Z" for pid in trainings + workers):
        pass
    assert [job["state"] for job in records_of(sweep.pid)] == ["cut", "cut"]
    for log in Path(os.environ["GALGEN_CACHE"]).rglob(f"*-{sweep.pid}/*.log"):
        assert "stopped by a signal. The same command continues from here." in log.read_text()
    code, printed = command("train", *sweep_words)
    assert code == 0, printed
    assert [len(read_metrics(path)) for path in find_runs([Path("runs")])] == [60, 60]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


USERS = [name for name in COMMANDS if "\nrun:" in (CONF / f"{name}.yaml").read_text()]
"""Commands that take a run."""
MORE = {"generate": ["n=2", "redshift=0.5", "out=mock.h5"]}
"""What they need besides."""


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    """Copy a finished run."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "tiny"))


@pytest.mark.parametrize("name", [name for name in USERS if name != "compare"])
@pytest.mark.parametrize("how", ["zip", "pickle"])
def test_an_evil_checkpoint_is_refused_and_never_executed(command, copy, name, how):
    for checkpoint in copy.rglob("*.ckpt"):
        make_evil(checkpoint, how)
    code, printed = command(name, f"run={copy}", *MORE.get(name, []))
    assert not Path("executed").exists()
    assert code == 1
    assert "best.ckpt: " + REFUSALS[how] in printed
    assert "Traceback" not in printed


REFUSALS = {"zip": "refused, it is not a checkpoint", "pickle": "the checkpoint is damaged"}


def make_evil(checkpoint: Path, how: str) -> None:
    """Put something into a checkpoint that makes a folder when it is unpickled."""
    content = {**torch.load(checkpoint, weights_only=True), "evil": Evil()}
    if how == "zip":
        torch.save(content, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps(content))


def test_an_evil_checkpoint_is_not_gone_on_with(command, small):
    command("train", *small, "run_name=mine")
    command("train", *small, "run_name=other")
    Path("runs/mine/DONE").unlink()
    for name in ("last", "best"):
        make_evil(Path(f"runs/mine/checkpoints/{name}.ckpt"), "zip")
        code, printed = command("train", *small, "run_name=mine")
        assert (code, "last.ckpt: refused" in printed) == (1, True)
        with pytest.raises(GalgenError, match="refused"):
            galgen.load("runs/mine", "last")
    code, printed = command("train", *small, "init_from=runs/mine", "run_name=new")
    assert (code, "best.ckpt: refused" in printed) == (1, True)
    make_evil(Path("runs/other/checkpoints/best.ckpt"), "zip")
    code, printed = command("import_weights", "file=runs/other/checkpoints/best.ckpt")
    assert code == 1
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("model.likelihood", {"_target_": "os.mkdir", "_args_": ["executed"]}),
        ("data.transform", {"_target_": "galgen.config.command.os.mkdir", "_args_": ["executed"]}),
        ("logger", {"_target_": "subprocess.Popen", "_args_": [["mkdir", "executed"]]}),
        (
            "callbacks.last",
            {
                "_target_": "builtins.eval",
                "_partial_": True,
                "_args_": ["__import__('os').mkdir('executed')"],
            },
        ),
        (
            "transform",
            {
                "_target_": "galgen.data.transforms.Peak",
                "_args_": [{"_target_": "os.mkdir", "path": "executed"}],
            },
        ),
    ],
)
def test_an_evil_config_is_refused_and_never_executed(command, copy, name, key, node):
    config = OmegaConf.load(copy / "config.yaml")
    OmegaConf.update(config, key, node, merge=False, force_add=True)
    OmegaConf.save(config, copy / "config.yaml")
    code, printed = command(name, f"run={copy}", *MORE.get(name, []))
    assert not Path("executed").exists()
    assert "Traceback" not in printed
    if name != "compare":  # which makes nothing of what a config describes
        assert code == 1
        assert "refused" in printed or "os.mkdir: there is no such class" in printed
