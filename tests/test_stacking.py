"""Stacked sweeps: members equal trainings alone, fail alone, and go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import galgen
from galgen.errors import GalgenError
from galgen.records import read_metrics
from galgen.rules import check_rules
from galgen.runs import find_runs
from galgen.sweeps import stack_of
from tests.test_sweeps import records_of
from tests.test_train import assert_same_training

STACKED = ["-m", "launcher=stacked", "model.norm=group"]


def trained_alone(command, small, *overrides: str) -> tuple[Path, Path]:
    """Train the run of a stack that overrides name by a command of its own; return both."""
    code, printed = command("train", *small, "model.norm=group", "run_root=alone", *overrides)
    assert code == 0, printed
    alone = next(Path(line.split(":")[0]) for line in printed.splitlines() if "best val/" in line)
    return Path("runs") / alone.name, alone


def assert_same_to_float_tolerance(one: Path, two: Path) -> None:
    """Compare losses and images; weights whose gradients are zero but for rounding differ."""
    for left, right in zip(read_metrics(one), read_metrics(two), strict=True):
        for name in left.keys() - {"images_per_second"}:
            assert left[name] == pytest.approx(right[name], rel=1e-4), name
    images = [galgen.load(run).sample(3, redshift=[0.2, 1, 2], seed=1) for run in (one, two)]
    np.testing.assert_allclose(*images, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("together", "model", "assert_equal"),
    [
        (
            "null",
            ["model=residual_cvae", "model.flux_scale=0.01", "trainer.precision=bf16-mixed"],
            assert_same_training,
        ),
        ("2", [], assert_same_to_float_tolerance),
    ],
)
def test_members_equal_trainings_alone(command, small, together, model, assert_equal):
    options = ["data.augment=true", "lr_schedule=cosine", "trainer.gradient_clip_val=1", *model]
    varied = ["beta_schedule.beta=0.1,1", "seed=0,1", "optimizer.lr=0.002"]
    code, printed = command(
        "train", *STACKED, *small, *options, *varied, f"launcher.together={together}"
    )
    assert code == 0, printed
    assert "sweep: 4 done" in printed
    assert len(find_runs([Path("runs")])) == 4
    few = ["beta_schedule.beta=1", "seed=1", "optimizer.lr=0.002"]
    assert_equal(*trained_alone(command, small, *options, *few))
    code, printed = command("train", *STACKED, *small, *options, *varied)
    assert "sweep: 4 done, 4 of them before" in printed


def test_a_member_that_fails_leaves_the_others_alone(command, small):
    varied = ["optimizer.lr=0.001,1e30,0.001,-1", "logger=wandb", "callbacks=[default,ema]"]
    varied += ["callbacks.progress=null"]
    code, printed = command("train", *STACKED, *small, *varied)
    assert code == 1
    assert "1 done, 3 failed" in printed
    assert "galgen: job 1 failed: training loss at step" in printed
    assert "is the directory of job 0 of this sweep too" in printed
    assert "galgen: job 3 failed: Invalid learning rate: -1" in printed
    done, failed = sorted(find_runs([Path("runs")]), key=lambda run: not (run / "DONE").is_file())
    environment = json.loads((done / "environment.json").read_text())
    assert "optimizer.lr=0.001" in environment["command"]
    assert len(read_metrics(done)) == 2
    assert not (failed / "DONE").exists()
    records = [len(list(run.glob("wandb/offline-run-*/*.wandb"))) for run in (done, failed)]
    assert records == [1, 1]
    assert_same_training(*trained_alone(command, small, "optimizer.lr=0.001", *varied[2:]))


def test_a_stack_that_is_told_to_leave_goes_on(command, small):
    arguments = [*small, "trainer.max_epochs=12", "beta_schedule.beta=0.1,1"]
    words = [sys.executable, "-m", "galgen.train", *STACKED, *arguments]
    sweep = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not list(Path("runs").glob("*/metrics.csv")):
        assert sweep.poll() is None
    sweep.send_signal(signal.SIGTERM)
    printed, _ = sweep.communicate()
    assert sweep.returncode == 75, printed
    assert "the same command goes on" in printed
    assert "Traceback" not in printed
    assert {record["state"] for record in records_of(sweep.pid)} == {"cut"}
    code, printed = command("train", *STACKED, *arguments)
    assert code == 0, printed
    assert "sweep: 2 done" in printed
    same = trained_alone(command, small, "trainer.max_epochs=12", "beta_schedule.beta=1")
    assert_same_training(*same)


def test_a_stack_that_is_killed_goes_on_from_its_checkpoints(command, small):
    arguments = [*small, "trainer.max_epochs=12", "seed=0,1"]
    words = [sys.executable, "-m", "galgen.train", *STACKED, *arguments]
    sweep = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(list(Path("runs").glob("*/checkpoints/last.ckpt"))) < 2:
        assert sweep.poll() is None
    os.kill(records_of(sweep.pid)[0]["pid"], signal.SIGKILL)
    printed, _ = sweep.communicate()
    assert sweep.returncode == 1
    assert printed.count("killed by SIGKILL") == 2
    code, printed = command("train", *STACKED, *arguments)
    assert code == 0, printed
    assert "sweep: 2 done" in printed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.norm=batch"], "model.norm=group"),
        (["trainer=ddp_cpu"], "trainer.devices=1"),
        (["trainer.precision=16-mixed"], "bf16-mixed"),
        (["trainer.profiler=simple"], "trainer.profiler=null"),
        (["callbacks=[default,accelerate]"], "callbacks.accelerate=null"),
        (["search=optuna"], "no search"),
        (["launcher.together=0"], "launcher.together is 0"),
    ],
)
def test_what_cannot_be_stacked_is_refused(composed, overrides, message):
    config = composed("launcher=stacked", "model.norm=group", *overrides)
    with pytest.raises(GalgenError, match=message):
        check_rules(config)


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("beta_schedule.beta=3", True),
        ("beta_schedule=cosine", True),
        ("optimizer.lr=3", True),
        ("lr_schedule=cosine", True),
        ("seed=3", True),
        ("model.latent_dim=3", False),
        ("likelihood=learned_sigma", False),
        ("data.batch_size=3", False),
        ("data.split_seed=3", False),
        ("trainer.max_epochs=3", False),
    ],
)
def test_trainings_are_stacked_that_differ_in_numbers_alone(composed, override, same):
    base = ["launcher=stacked", "run_dir=runs/x", "run_name=x"]
    assert (stack_of(composed(*base)) == stack_of(composed(*base, override))) is same
