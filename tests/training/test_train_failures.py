"""Trainings that cannot be done end in a sentence and leave no half-written run."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from galgen.training.model_training import ModelTraining
from tests import processes
from tests.conftest import (
    discs,
    only_run,
)


def test_a_training_without_a_validation_is_refused(command, small):
    code, printed = command("train", *small, "+trainer.check_val_every_n_epoch=3")
    assert code == 1
    assert "check_val_every_n_epoch=3: the training has 2 epochs. Give at most 2." in printed
    assert not Path("runs").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    command, small, monkeypatch
):
    step = ModelTraining.training_step
    batches = []

    def poisoned(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        batches.append(batch.index.tolist())
        return loss * (np.nan if self.global_step == 5 else 1)

    monkeypatch.setattr(ModelTraining, "training_step", poisoned)
    code, printed = command("train", *small)
    assert code == 1
    assert "training loss at step 6, epoch 2 is nan" in printed
    assert str(batches[5]) in printed
    run = only_run()
    assert not (run / "DONE").exists()
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in weights.values())
    monkeypatch.setattr(ModelTraining, "training_step", step)
    assert command("train", *small)[0] == 0


def test_a_validation_loss_that_is_not_finite_stops_the_run(command, small, monkeypatch):
    step = ModelTraining.validation_step
    monkeypatch.setattr(ModelTraining, "validation_step", lambda *a: step(*a) * np.inf)
    code, printed = command("train", *small)
    assert code == 1
    assert "validation loss" in printed
    assert not (only_run() / "checkpoints").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.image_size=40"], "cannot be cropped"),
        (["data.batch_size=500"], "larger than the training part"),
        (["data.file=missing.h5"], "no such stamp file"),
        (["beta_schedule=table", "beta_schedule.values=[0.1]"], "one for each of the 2 epochs"),
        (["model=vae158"], "data.image_size=158"),
        (["transform=none", "data.image_size=16"], "image_size=16"),
        (["trainer.max_epochs=0"], "positive whole number"),
        (["resume=maybe"], "resume=maybe"),
        (["init_from=nowhere"], "init_from=nowhere: there is no such run"),
        (["optimizer.lr=-1"], "Invalid learning rate"),
        (["model.norm=layer"], "'batch' or 'group'"),
        (["beta_schedule.beta=-1"], "not negative"),
        (["+trainer.max_epoch=3"], "did you mean 'max_epochs'?"),
        (["trainer.max_epoch=3"], "did you mean 'max_epochs'?"),
        (["model.widht=3"], "did you mean 'width'?"),
        (["data.accelerator=3"], "no such argument"),
        (["trainer.min_epochs=3"], "+trainer.min_epochs"),
        (["sede=3"], "did you mean 'seed'?"),
        (["model=cvae3"], "did you mean 'cvae"),
        (["modle=cvae"], "did you mean 'model'?"),
        (["beta_schedule=table"], "beta_schedule.values"),
        (["callbacks.best.monitr=x"], "did you mean 'monitor'?"),
        (["model._target_=os.system"], "refused"),
        (["model._target_=galgen.config.paths.Path"], "refused"),
        (["model._target_=galgen.config.command.os.system"], "there is no"),
        (["model._target_=galgen.models.vae.VEA"], "galgen.models.vae.VEA: there is no such class"),
        (["data.file=["], "data.file"),
        (["model=_vae"], "is not a model"),
        (["+foo.bar=3"], "foo: there is no such key"),
        (["data.batch_size=abc"], "data.batch_size=abc: it takes a whole number"),
        (["data.batch_size=2.5"], "data.batch_size=2.5: it takes a whole number"),
        (["model.width=null"], "galgen: model.width=null: it takes a whole number"),
        (["data.batch_size=0"], "galgen: data.batch_size=0: it must be positive"),
        (["data.bands=5"], "galgen: data.bands=5: it is neither the name of a band nor a list"),
        (["data.augment=3"], "data.augment=3: it takes true or false"),
        (["data.split=0.8"], "data.split=0.8"),
        (["seed=null"], "seed=None"),
        (["seed=-1"], "seed=-1"),
        (["run_name=../up"], "plain folder name"),
        (["run_dir=/elsewhere/one"], "Use run_root=/elsewhere run_name=one instead"),
        (["trainer.limit_train_batches=0"], "trainer=debug"),
        (["trainer.precision=bf16-true"], "trainer.precision"),
        (["transform=asinh"], "model.output=softplus"),
        (["trainer.limit_val_batches=0"], "trainer=debug"),
        (["+trainer.fast_dev_run=true"], "trainer=debug"),
        (["callbacks.pictures.times=0"], "callbacks.pictures.times"),
        (["launcher.jobs_per_gpu=-1"], "launcher.jobs_per_gpu=-1"),
        (["search=optuna", "search.objective=val/los"], "search.objective=val/los"),
        (["search=optuna", "search.objective=flow"], "such as flow.mean_w1"),
        (["search=optuna", "search.n=20"], "search.n=20: an evaluation needs 100 galaxies"),
    ],
)
def test_bad_input_ends_with_a_sentence_and_leaves_no_run(command, small, overrides, message):
    code, printed = command("train", *small, *overrides)
    assert code == 1
    assert message in printed
    assert "Traceback" not in printed
    assert printed.count("\n") <= 3
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("zphot"), "has no redshifts"),
        (lambda f: f["zphot"].write_direct(np.full(80, np.nan, "f4")), "80 of 80 redshifts"),
        (lambda f: f["images"].__setitem__((7, 0, 0), np.inf), "row 7"),
    ],
)
def test_bad_surveys_end_with_a_sentence(command, small, survey, change, message):
    with h5py.File(survey, "a") as file:
        change(file)
    code, printed = command("train", *small)
    assert code == 1
    assert message in printed
    assert not Path("runs").exists()


def test_a_sigmoid_is_refused_for_counts_per_second(command, small, tmp_path):
    from galgen.data.stamp_writing import write_stamps

    columns = {"galaxy_id": np.arange(80), "redshift": np.linspace(0.1, 1, 80)}
    write_stamps(tmp_path / "counts.h5", [{"image": discs(80) * 40, **columns}], {})
    arguments = [*small, f"data.file={tmp_path / 'counts.h5'}"]
    code, printed = command("train", *arguments, "transform=none")
    assert code == 1
    assert "model.output=softplus" in printed
    assert command("train", *arguments, "transform=none", "model.output=softplus")[0] == 0
    assert command("train", *arguments)[0] == 0


def test_a_survey_that_changed_under_a_run_is_refused(command, small, survey):
    command("train", *small)
    (only_run() / "DONE").unlink()
    with h5py.File(survey, "a") as file:
        file["zphot"][3] = 2.5
    code, printed = command("train", *small)
    assert code == 1
    assert "differs from that of" in printed


def test_a_full_disk_ends_with_a_sentence(command, small, monkeypatch):
    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, printed = command("train", *small)
    assert code == 1
    assert "disk is full" in printed
    assert not list(only_run().glob("checkpoints/*"))


def test_folders_that_cannot_be_made_are_named(command, small, monkeypatch):
    Path("file").touch()
    code, printed = command("train", *small, "run_root=file")
    assert code == 1
    assert "cannot be made, Not a directory. Give another run_root" in printed
    monkeypatch.setenv("GALGEN_CACHE", str(Path("file").absolute()))
    code, printed = command("train", "-m", *small, "seed=0,1")
    assert code == 1
    assert "GALGEN_CACHE=<folder> in the environment" in printed


def test_full_error_shows_the_traceback(small, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code, printed = processes.run("train", [*small, "data.batch_size=500"])
    assert code == 1
    assert "Traceback" in printed
    assert "larger than the training part" in printed
