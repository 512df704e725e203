"""Trainings that are told to leave in the middle of an epoch, and go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from galgen.data.data_module import SurveyDataModule
from galgen.runs.metrics import read_metrics
from galgen.training.model_training import ModelTraining
from tests.conftest import assert_same_training, only_run

NO_PROGRESS = "callbacks.progress=null"
DISTRIBUTED = """
import json, os, signal
from galgen.training.model_training import ModelTraining
training_step = ModelTraining.training_step
def watched_step(self, batch, batch_idx):
    with open(f"seen{self.global_rank}.jsonl", "a") as file:
        print(json.dumps([self.current_epoch, batch.index.tolist()]), file=file)
    if self.trainer.fit_loop.total_batch_idx == SIGNAL_AT and self.global_rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return training_step(self, batch, batch_idx)
ModelTraining.training_step = watched_step
from galgen.train import main
main()
"""


@pytest.fixture
def seen(monkeypatch) -> dict[int, list[int]]:
    """Collect the galaxies that the trainings of a test see, by epoch."""
    training_step, rows = ModelTraining.training_step, {}

    def watched_step(self, batch, batch_idx):
        rows.setdefault(self.current_epoch, []).extend(batch.index.tolist())
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(ModelTraining, "training_step", watched_step)
    return rows


@pytest.mark.parametrize(
    ("number", "at", "options"),
    [
        (signal.SIGTERM, 1, []),
        (signal.SIGUSR1, 6, ["data.augment=true", "lr_schedule=cosine", "beta_schedule=linear"]),
        (signal.SIGTERM, 6, ["data.cache=none", "data.num_workers=1"]),
        (signal.SIGUSR1, 4, ["trainer.accumulate_grad_batches=2"]),
        (signal.SIGHUP, 5, ["callbacks=[default,ema]", "callbacks.ema.decay=0.9", NO_PROGRESS]),
        (signal.SIGTERM, 3, []),  # the last batch of the first epoch
        (signal.SIGTERM, 7, []),  # the last of all
    ],
)
def test_a_signal_ends_a_training_that_goes_on_as_if_nothing_had_been(
    command, small, monkeypatch, seen, number, at, options
):
    arguments = [*small, *options]
    watched_step = ModelTraining.training_step

    def signalled_step(self, batch, batch_idx):
        if self.trainer.fit_loop.total_batch_idx == at:
            os.kill(os.getpid(), number)
        return watched_step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ModelTraining, "training_step", signalled_step)
        code, printed = command("train", *arguments)
    if at < 7:
        assert code == 75, printed
        assert "galgen: stopped by a signal. The same command continues" in printed
        assert sum(map(len, seen.values())) < 2 * 64
        code, printed = command("train", *arguments)
        assert "resuming from" in printed
    assert code == 0, printed
    assert [len(rows) for rows in seen.values()] == [64, 64]
    assert all(len(set(rows)) == 64 for rows in seen.values())
    command("train", *arguments, "run_root=whole")
    assert_same_training(only_run(), only_run(Path("whole")))


def test_processes_stop_at_one_step_and_train_what_one_process_trains(command, small):
    # 61 galaxies: one is left for the last batch of both processes
    same = [*small, "data.split=[0.7625,0.1125,0.125]", "model.norm=group"]
    same += ["likelihood=learned_sigma"]
    arguments = [*same, "data.batch_size=5", "trainer=ddp_cpu"]
    Path("watched.py").write_text(DISTRIBUTED.replace("SIGNAL_AT", "9"))
    for code in (75, 0):
        ended = subprocess.run(
            [sys.executable, "watched.py", *arguments], capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stderr
        assert ended.stderr.count("galgen: stopped") == (code == 75)
    seen: dict[int, list[int]] = {}
    for rank in range(2):
        for line in Path(f"seen{rank}.jsonl").read_text().splitlines():
            epoch, rows = json.loads(line)
            seen.setdefault(epoch, []).extend(rows)
    assert [(len(set(rows)), len(rows)) for rows in seen.values()] == [(61, 62)] * 2
    assert command("train", *same, "data.batch_size=10", "run_root=alone")[0] == 0
    both, one = (read_metrics(only_run(Path(root))) for root in ("runs", "alone"))
    for left, right in zip(both, one, strict=True):
        for name in left.keys() - {"images_per_second"}:
            assert left[name] == pytest.approx(right[name], rel=1e-4), name


def test_a_signal_before_the_first_step_is_no_failure(command, small, monkeypatch):
    def preempted(self):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SurveyDataModule, "prepare_data", preempted)
    code, printed = command("train", *small)
    assert code == 75
    assert "galgen: stopped by SIGTERM" in printed
    assert "Traceback" not in printed
