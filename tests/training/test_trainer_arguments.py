"""Every argument of Lightning's Trainer works, or is refused before anything starts."""

import csv
import inspect
import json
import shutil
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from galgen.config.rules import check_rules
from galgen.config.trainer_rules import RULES, seconds
from galgen.errors import GalgenError
from galgen.runs.metrics import read_metrics
from galgen.runs.reading import is_finished
from galgen.training import callbacks
from galgen.training.model_training import ModelTraining
from tests.conftest import assert_same_training, only_run

REFUSED = {
    "accelerator": ["tpu", "hpu"],
    "strategy": ["fsdp", "deepspeed", "ddp_spawn"],
    "devices": ["0", "-2", "[]", "true"],
    "num_nodes": ["0", "1.5"],
    "precision": ["16-true", "64", "bf16"],
    "logger": ["true", "false"],
    "callbacks": ["[]"],
    "fast_dev_run": ["true", "3"],
    "max_epochs": ["-1", "0", "null", "2.5"],
    "min_epochs": ["3", "-1"],
    "max_steps": ["4", "0"],
    "min_steps": ["4"],
    "max_time": ["soon", "3600", "{hour: 1}", "00:01"],
    "limit_train_batches": ["0", "0.0", "1.5", "-1", "true"],
    "limit_val_batches": ["0", "0.0", "1.5", "-1"],
    "limit_test_batches": ["2"],
    "limit_predict_batches": ["2"],
    "overfit_batches": ["1", "0.5"],
    "val_check_interval": ["0.5", "2", "1", "00:00:10:00"],
    "check_val_every_n_epoch": ["null", "0", "3"],
    "num_sanity_val_steps": ["-2", "0.5"],
    "log_every_n_steps": ["-1"],
    "enable_checkpointing": ["false"],
    "enable_progress_bar": ["true", "false"],
    "enable_model_summary": ["3"],
    "accumulate_grad_batches": ["0", "1.5"],
    "gradient_clip_val": ["-1", "big"],
    "gradient_clip_algorithm": ["norms"],
    "deterministic": ["warm"],
    "benchmark": ["3"],
    "inference_mode": ["3"],
    "use_distributed_sampler": ["true"],
    "profiler": ["advanced"],
    "detect_anomaly": ["3"],
    "barebones": ["true"],
    "plugins": ["[]", "x"],
    "sync_batchnorm": ["3"],
    "reload_dataloaders_every_n_epochs": ["1"],
    "default_root_dir": ["elsewhere"],
    "model_registry": ["mine"],
    "enable_autolog_hparams": ["3"],
}
"""Values that are refused, by argument."""
WORK = {
    "min_epochs": ["2"],
    "max_time": ["00:01:00:00"],
    "limit_train_batches": ["3", "0.5"],
    "limit_val_batches": ["1", "1.0"],
    "check_val_every_n_epoch": ["2"],
    "num_sanity_val_steps": ["2", "-1"],
    "log_every_n_steps": ["0", "50"],
    "enable_model_summary": ["true"],
    "accumulate_grad_batches": ["3"],
    "gradient_clip_val": ["0.1"],
    "deterministic": ["true"],
    "inference_mode": ["false"],
    "detect_anomaly": ["true"],
    "sync_batchnorm": ["true"],
    "enable_autolog_hparams": ["false"],
    "benchmark": ["true"],
}
"""Values that are trained with, cut and gone on with; other values are of machines, not here."""
NO_DIFFERENCE = {
    *("max_time", "num_sanity_val_steps", "log_every_n_steps", "enable_model_summary"),
    *("deterministic", "inference_mode", "detect_anomaly", "benchmark", "enable_autolog_hparams"),
    *("min_epochs", "sync_batchnorm", "limit_val_batches"),
}
"""Arguments that change no number; all that is validated is one batch here."""


def given(key: str, value: str) -> str:
    return f"++trainer.{key}={value}"


def test_every_argument_of_the_trainer_has_a_rule():
    arguments = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    assert arguments == RULES.keys() | {"default_root_dir"} == REFUSED.keys()


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in REFUSED.items() for v in vs])
def test_a_value_that_does_not_work_is_refused_with_a_remedy(composed, key, value):
    with pytest.raises(GalgenError, match=rf"^trainer\.{key}=.*: .*\. .*\.$") as error:
        check_rules(composed("trainer.max_epochs=2", given(key, value)))
    assert str(error.value).startswith(f"trainer.{key}=")


@pytest.fixture(scope="module")
def plain() -> dict[str, list]:
    """Keep the rows of the training without any argument."""
    return {}


def rows(run: Path) -> list[dict[str, str]]:
    """Return the cells of metrics.csv as they are written, but for the one that measures time."""
    with open(run / "metrics.csv", newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        del row["images_per_second"]
    return table


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in WORK.items() for v in vs])
def test_a_value_that_works_gives_the_same_training_when_it_is_cut(
    command, small, pulling_the_plug, plain, key, value
):
    arguments = [*small, "model.norm=group", "run_name=mine"]
    if not plain:
        assert command("train", *arguments, "run_root=plain")[0] == 0
        plain["rows"] = rows(only_run(Path("plain")))
    arguments.append(given(key, value))
    code, printed = command("train", *arguments, "run_root=whole")
    assert code == 0, printed
    at = {"accumulate_grad_batches": 2, "limit_train_batches": 2 if value == "0.5" else 3}
    with pulling_the_plug(at.get(key, 5)):
        assert command("train", *arguments)[0] == 1
    assert not is_finished(only_run())
    code, printed = command("train", *arguments)
    assert code == 0, printed
    whole, cut = Path("whole/mine"), Path("runs/mine")
    assert_same_training(cut, whole)
    assert rows(cut) == rows(whole)
    assert (rows(whole) == plain["rows"]) == (key in NO_DIFFERENCE)
    assert len(rows(whole)) == 2
    weights = [(run / "checkpoints" / "best.ckpt").is_file() for run in (cut, whole)]
    assert weights == [True, True]


def test_epochs_without_a_validation_show_and_keep_none(command, small):
    arguments = [*small, "trainer.max_epochs=5", "+trainer.check_val_every_n_epoch=2"]
    code, printed = command("train", *arguments)
    assert code == 0, printed
    assert ["val/loss" in row for row in read_metrics(only_run())] == [0, 1, 0, 1, 0]
    lines = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert ["val/loss" in line for line in lines] == [0, 1, 0, 1, 0]
    result = json.loads((only_run() / "DONE").read_text())
    assert result["best"]["epoch"] in (2, 4)


@pytest.mark.parametrize("key", ["limit_train_batches", "limit_val_batches"])
def test_a_share_of_less_than_a_batch_is_refused(command, small, key):
    code, printed = command("train", *small, f"trainer.{key}=0.1")
    assert code == 1
    n = {"limit_train_batches": 4, "limit_val_batches": 1}[key]
    assert f"trainer.{key}=0.1: the part has {n} batches, of which" in printed
    assert not Path("runs").exists()


def test_a_plateau_needs_each_validation(composed):
    config = composed("lr_schedule=plateau", "+trainer.check_val_every_n_epoch=2")
    with pytest.raises(GalgenError, match="plateau needs the validation loss of each epoch"):
        check_rules(config)


def test_early_stopping_counts_validations_and_waits_for_the_least_epochs(command, small):
    stop = ["callbacks=[default,early_stopping]", "callbacks.progress=null", "model.norm=group"]
    stop += ["callbacks.early_stopping.patience=1", "optimizer.lr=0.0", "trainer.max_epochs=12"]
    for more, epochs in (
        (["+trainer.min_epochs=4"], 4),
        (["+trainer.check_val_every_n_epoch=3"], 6),
    ):
        code, printed = command("train", *small, *stop, *more, f"run_name=e{epochs}")
        assert code == 0, printed
        assert len(read_metrics(Path(f"runs/e{epochs}"))) == epochs


@pytest.mark.parametrize(
    ("time", "right"),
    [
        ("00:00:00:05", 5),
        ("01:02:03:04", 93784),
        ({"hours": 1.5, "minutes": 1}, 5460),
        ({"days": 2}, 172800),
    ],
)
def test_times_are_read(time, right):
    assert seconds(time) == right


def test_a_training_whose_time_is_up_pauses_and_goes_on(command, small, monkeypatch):
    """Each look at the clock takes a second."""
    clock = iter(range(10**6))
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    arguments = [*small, "run_name=mine"]
    code, printed = command("train", *arguments, "+trainer.max_time={seconds: 2}")
    assert code == 75
    assert "stopped by trainer.max_time. The same command continues" in printed
    assert not is_finished(Path("runs/mine"))
    # At another time, with another limit, it is the same run.
    code, printed = command("train", *arguments, "+trainer.max_time={seconds: 3}")
    assert code == 75
    code, printed = command("train", *arguments)
    assert code == 0, printed
    assert command("train", *arguments, "run_root=whole")[0] == 0
    assert_same_training(Path("runs/mine"), Path("whole/mine"))
    assert rows(Path("runs/mine")) == rows(Path("whole/mine"))


@pytest.mark.parametrize("more", [[], ["lr_schedule=plateau", "callbacks=[default,ema]"]])
@pytest.mark.parametrize("cut", [False, True])
def test_a_finished_run_goes_on_with_more_epochs(command, small, pulling_the_plug, more, cut):
    arguments = [*small, "run_name=mine", *more, "callbacks.progress=null"]
    assert command("train", *arguments)[0] == 0
    before = (Path("runs/mine/DONE")).read_text()
    if cut:
        with pulling_the_plug(13):
            assert command("train", *arguments, "trainer.max_epochs=4")[0] == 1
        assert not is_finished(Path("runs/mine"))
    code, printed = command("train", *arguments, "trainer.max_epochs=4")
    assert code == 0, printed
    assert "resuming from" in printed
    assert (Path("runs/mine/DONE")).read_text() != before
    assert command("train", *arguments, "trainer.max_epochs=4", "run_root=whole")[0] == 0
    assert rows(Path("runs/mine")) == rows(Path("whole/mine"))
    assert_same_training(Path("runs/mine"), Path("whole/mine"))
    code, printed = command("train", *arguments, "trainer.max_epochs=4")
    assert "runs/mine is already finished" in printed
    code, printed = command("train", *arguments)
    assert code == 1
    assert "trainer.max_epochs is 4 there and 2 here" in printed


@pytest.mark.parametrize(
    ("schedule", "group"),
    [
        (["lr_schedule=cosine"], "lr_schedule"),
        (["beta_schedule=linear"], "beta_schedule"),
        (["beta_schedule=cosine"], "beta_schedule"),
        (["beta_schedule=cyclical"], "beta_schedule"),
        (["beta_schedule=table", "beta_schedule.values=[0.1,0.2]"], "beta_schedule"),
    ],
)
def test_schedules_of_the_whole_training_are_not_made_longer(command, small, schedule, group):
    arguments = [*small, "run_name=mine", *schedule]
    assert command("train", *arguments)[0] == 0
    before = Path("runs/mine/metrics.csv").read_bytes()
    more = ["trainer.max_epochs=4"]
    more += ["beta_schedule.values=[0.1,0.2,0.3,0.4]"] if "table" in schedule[0] else []
    code, printed = command("train", *arguments, *more)
    assert code == 1
    assert f"its {group} depends on their number" in printed
    assert "init_from=runs/mine" in printed
    assert is_finished(Path("runs/mine"))
    assert Path("runs/mine/metrics.csv").read_bytes() == before


def test_a_run_that_stopped_early_has_no_epochs_to_go(command, small):
    arguments = [*small, "run_name=mine", "callbacks=[default,early_stopping]", "optimizer.lr=0.0"]
    arguments += ["callbacks.early_stopping.patience=1", "model.norm=group"]
    arguments += ["callbacks.progress=null"]
    assert command("train", *arguments, "trainer.max_epochs=8")[0] == 0
    epochs = len(read_metrics(Path("runs/mine")))
    code, printed = command("train", *arguments, "trainer.max_epochs=20")
    assert code == 0
    assert "already finished" in printed
    assert len(read_metrics(Path("runs/mine"))) == epochs == 2
    # Killed before it was marked as done, it has none either.
    before = Path("runs/mine/metrics.csv").read_bytes()
    Path("runs/mine/DONE").unlink()
    code, printed = command("train", *arguments, "trainer.max_epochs=8")
    assert code == 0, printed
    assert Path("runs/mine/metrics.csv").read_bytes() == before
    assert is_finished(Path("runs/mine"))


@pytest.mark.parametrize("step", [2, 4, 6])
def test_metrics_are_the_same_bytes_after_a_resume(
    command, small, pulling_the_plug, monkeypatch, step
):
    """The one column that measures time does so by a clock that is even."""
    monkeypatch.setattr(
        callbacks.LogRates,
        "seconds",
        property(lambda s: s.images / 100, lambda s, value: None),
        False,
    )
    arguments = [*small, "trainer.max_epochs=3", "run_name=mine"]
    with pulling_the_plug(step):
        command("train", *arguments)
    assert command("train", *arguments)[0] == 0
    assert command("train", *arguments, "run_root=whole")[0] == 0
    one, two = (Path(root, "mine", "metrics.csv").read_bytes() for root in ("runs", "whole"))
    assert one == two
    assert b"\r\n1,100,0.001," in one
    shutil.rmtree("runs")


def test_a_validation_loss_of_another_epoch_chooses_no_best(command, small, monkeypatch):
    """Losses that rise leave the first validated epoch the best."""
    log = ModelTraining._log

    def rising(self, part):
        for loss in ("loss",):
            sums = self.means[part].sums
            sums[loss] = sums[loss] + self.current_epoch * 1000 * self.means[part].galaxies
        log(self, part)

    monkeypatch.setattr(ModelTraining, "_log", rising)
    code, printed = command(
        "train", *small, "trainer.max_epochs=4", "+trainer.check_val_every_n_epoch=2"
    )
    assert code == 0, printed
    assert json.loads((only_run() / "DONE").read_text())["best"]["epoch"] == 2
