"""Trainings that were interrupted are resumed, and end like uninterrupted ones."""

import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from galgen.runs.directory import Run
from galgen.runs.metrics import read_metrics
from galgen.runs.run_config import read_config
from galgen.training.model_training import ModelTraining
from tests import processes
from tests.conftest import assert_same_training, only_run


def test_a_run_that_another_process_finished_meanwhile_is_left_alone(command, small, monkeypatch):
    command("train", *small)
    done, result, looks = only_run() / "DONE", Run.result, iter([None])
    before = done.stat().st_mtime_ns
    found = property(lambda run: next(looks, result.fget(run)))
    monkeypatch.setattr(Run, "result", found)
    code, printed = command("train", *small)
    assert (code, "another process has just finished this run" in printed) == (1, True), printed
    assert done.stat().st_mtime_ns == before


@pytest.mark.parametrize("step", [2, 4, 6])
def test_killed_in_the_middle_a_run_ends_like_an_uninterrupted_one(command, small, step):
    arguments = [*small, "data.augment=true", "lr_schedule=cosine", "beta_schedule=linear"]
    killed = partial(processes.signal_at, step + 1, signal.SIGKILL, files=False)
    assert processes.run("train", arguments, killed)[0] == -signal.SIGKILL
    resumed = only_run()
    assert not (resumed / "DONE").exists()
    assert (resumed / "checkpoints" / "last.ckpt").exists() == (step >= 4)
    assert command("train", *arguments)[0] == 0
    assert command("train", *arguments, "run_root=whole")[0] == 0
    assert only_run(Path("whole")).name == resumed.name
    assert_same_training(resumed, only_run(Path("whole")))


def test_resume_with_moving_average_and_early_stopping(command, small, pulling_the_plug):
    arguments = [*small, "callbacks=[default,ema,early_stopping]", "callbacks.progress=null"]
    arguments.append("callbacks.ema.decay=0.9")
    with pulling_the_plug(6):
        code, printed = command("train", *arguments)
        assert code == 1
        assert "pulled the plug" in printed
    code, printed = command("train", *arguments)
    assert code == 0
    assert "resuming from" in printed
    run = only_run()
    command("train", *arguments, "run_root=whole")
    assert_same_training(run, only_run(Path("whole")))
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    name = "encoder.linear1.weight"
    assert not torch.equal(averaged[name], current[name])


def test_a_run_moved_between_two_sessions_keeps_its_best_checkpoint(
    command, small, monkeypatch, pulling_the_plug
):
    with pulling_the_plug(6):
        command("train", *small)
    shutil.move("runs", "elsewhere")
    best = only_run(Path("elsewhere")) / "checkpoints" / "best.ckpt"
    stored = torch.load(best, weights_only=True)["epoch"]
    log = ModelTraining._log

    def worse(self, part):
        sums = self.means[part].sums
        sums["loss"] = sums["loss"] * (1e6 if part == "val" else 1)
        log(self, part)

    monkeypatch.setattr(ModelTraining, "_log", worse)
    code, printed = command("train", *small, "run_root=elsewhere")
    assert code == 0, printed
    assert torch.load(best, weights_only=True)["epoch"] == stored


def test_killed_before_it_was_marked_as_done_a_run_is_finished(command, small):
    command("train", *small)
    done = only_run() / "DONE"
    before, rows = done.read_text(), read_metrics(only_run())
    done.unlink()
    assert command("train", *small)[0] == 0
    assert done.read_text() == before
    assert read_metrics(only_run()) == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "has no state_dict"),
        ({"state_dict": {}}, "no training to resume"),
        ({"state_dict": {"a": torch.ones(2)}, "loops": {}}, "another model's"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(command, small, content, message):
    command("train", *small)
    (only_run() / "DONE").unlink()
    path = only_run() / "checkpoints" / "last.ckpt"
    torch.save(content, path)
    code, printed = command("train", *small)
    assert code == 1
    assert message in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("damage", ["truncated", "a flipped bit"])
def test_a_damaged_checkpoint_is_replaced_by_the_best(command, small, damage):
    command("train", *small)
    run = only_run()
    shutil.copytree(run, "whole")
    (run / "DONE").unlink()
    path = run / "checkpoints" / "last.ckpt"
    content = bytearray(path.read_bytes())
    weight = content.find(
        torch.load(path)["state_dict"]["encoder.linear1.weight"].numpy().tobytes()
    )
    content[weight + 2] ^= 1
    path.write_bytes(content[:1000] if damage == "truncated" else content)
    code, printed = command("train", *small)
    assert code == 0, printed
    assert printed.count("last.ckpt: the checkpoint is damaged or truncated. Going back to") == 1
    assert_same_training(run, Path("whole"))
    for name in ("last", "best"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(b"PK")
    (run / "DONE").unlink()
    code, printed = command("train", *small)
    assert code == 1
    assert "best.ckpt: the checkpoint is damaged" in printed


def test_overwrite_starts_afresh_and_never_refuses(command, small):
    arguments = [*small, "run_name=mine"]
    command("train", *arguments)
    other = [*arguments, "beta_schedule.beta=0.3"]
    code, printed = command("train", *other)
    assert code == 1
    assert "another config" in printed
    assert "beta_schedule.beta is 0.1 there and 0.3 here" in printed
    (Path("runs/mine") / "stray").write_text("x")
    assert command("train", *other, "overwrite=true")[0] == 0
    assert not (Path("runs/mine") / "stray").exists()
    assert read_config(Path("runs/mine")).beta_schedule.beta == 0.3
    Path("runs/mine/config.yaml").unlink()
    code, printed = command("train", *other, "overwrite=true")
    assert code == 1
    assert "is not a run directory" in printed
    assert Path("runs/mine/metrics.csv").exists()
    assert command("train", *other)[0] == 0
    (Path("runs/mine") / "DONE").unlink()
    code, printed = command("train", *other, "resume=never")
    assert code == 1
    assert "resume=auto" in printed


def test_a_run_in_use_is_left_alone(command, small):
    Path("runs/mine").mkdir(parents=True)
    with FileLock("runs/mine/.lock"):
        code, printed = command("train", *small, "run_name=mine")
    assert code == 1
    assert "in use" in printed
    assert not (Path("runs/mine") / "config.yaml").exists()


def test_ctrl_c_says_that_the_run_can_go_on(command, small, monkeypatch):
    def pressed(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelTraining, "training_step", pressed)
    code, printed = command("train", *small)
    assert code == 130
    assert "The same command continues" in printed
