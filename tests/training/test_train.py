"""The training command, end to end."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import galgen
from galgen.config.targets import instantiate
from galgen.models.vae import VAE
from galgen.runs.metrics import read_metrics
from galgen.runs.run_config import read_config
from tests import processes
from tests.conftest import (
    NO_PICTURES,
    SHARED,
    discs,
    only_run,
)

SEED_LAYOUT = SHARED / "data" / "seed_layout"
NARROW = ["model.width=4", "trainer.accelerator=cpu", "callbacks.progress=null", NO_PICTURES]


def test_a_run_directory_is_complete_and_says_what_it_arrived_at(command, pictured):
    code, printed = command("train", *pictured)
    assert code == 0, printed
    run = only_run()
    assert str(run) in printed
    for name in (
        "config.yaml",
        "environment.json",
        "data.json",
        "metrics.csv",
        "DONE",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "figures/losses.png",
        "figures/reconstruction_epoch0002.png",
        "samples/samples_epoch0002.png",
    ):
        assert (run / name).stat().st_size > 0, name
    rows = read_metrics(run)
    assert [row["epoch"] for row in rows] == [1, 2]
    names = {f"{p}/{q}" for p in ("train", "val") for q in ("loss", "reconstruction", "kl", "beta")}
    assert rows[0].keys() == names | {"epoch", "lr", "images_per_second"}
    assert rows[0]["train/loss"] == pytest.approx(
        rows[0]["train/reconstruction"] + 0.1 * rows[0]["train/kl"], rel=1e-5
    )
    best = min(row["val/loss"] for row in rows)
    assert json.loads((run / "DONE").read_text())["best"]["val/loss"] == best
    assert json.loads((run / "environment.json").read_text())["versions"]["torch"]
    assert not list(run.rglob("*.part"))


def test_a_finished_run_answers_at_once_without_torch(command, small):
    command("train", *small)
    before = (only_run() / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    script = "import sys; from galgen.train import main; main(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, *small], capture_output=True, text=True, check=True
    )
    assert "best val/loss" in done.stdout
    assert done.stdout.strip().endswith("False")
    assert (only_run() / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_a_training_without_a_validation_is_refused(command, small):
    code, printed = command("train", *small, "+trainer.check_val_every_n_epoch=3")
    assert code == 1
    assert "check_val_every_n_epoch=3: the training has 2 epochs. Give at most 2." in printed
    assert not Path("runs").exists()


def test_early_stopping_stops_and_draws_the_last_epoch(command, pictured):
    arguments = [*pictured, "callbacks=[default,early_stopping]", "trainer.max_epochs=20"]
    arguments += [
        "callbacks.early_stopping.patience=1",
        "optimizer.lr=0.0",
        "model.norm=group",
        "callbacks.progress=null",
    ]
    assert command("train", *arguments)[0] == 0
    epochs = len(read_metrics(only_run()))
    assert epochs < 5
    assert (only_run() / "figures" / f"reconstruction_epoch{epochs:04d}.png").exists()


def test_init_from_takes_the_weights_and_nothing_else(command, small):
    command("train", *small, "run_name=first")
    arguments = [*small, "init_from=runs/first", "optimizer.lr=0.0", "run_name=second"]
    assert command("train", *arguments)[0] == 0
    # Again over the checkpoint that is there now, which must not be taken for a resume.
    Path("runs/second/checkpoints/best.ckpt").unlink()
    assert command("train", *arguments, "overwrite=true", "seed=5")[0] == 0
    first, second = (galgen.load(f"runs/{name}").model for name in ("first", "second"))
    for (name, one), two in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two), name
    code, printed = command("train", *small, "init_from=runs/first", "model.width=6")
    assert code == 1
    assert "another model's" in printed
    assert sorted(p.name for p in Path("runs").iterdir()) == ["first", "second"]


def test_loaded_weights_make_the_same_images_and_bad_folders_are_refused(command, small):
    command("train", *small)
    run = galgen.load(only_run())
    assert not run.model.training
    np.testing.assert_array_equal(
        run.sample(3, redshift=0.5), galgen.load(only_run()).sample(3, redshift=0.5)
    )
    with pytest.raises(galgen.errors.GalgenError, match="there is no such run"):
        galgen.load("nowhere")
    (only_run() / "checkpoints" / "best.ckpt").write_bytes(b"cut")
    with pytest.raises(galgen.errors.GalgenError, match=r"best\.ckpt"):
        galgen.load(only_run())


@pytest.mark.parametrize("likelihood", ["squared_error", "gaussian", "learned_sigma"])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_options_train(command, small, likelihood, schedule):
    code, printed = command(
        "train",
        *small,
        f"likelihood={likelihood}",
        f"lr_schedule={schedule}",
        "optimizer=adamw",
        "beta_schedule=table",
        "beta_schedule.values=[0.1,0.2]",
    )
    assert code == 0, printed
    assert [row["train/beta"] for row in read_metrics(only_run())] == [0.1, 0.2]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    command, small, monkeypatch
):
    step = VAE.training_step
    batches = []

    def poisoned(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        batches.append(batch.index.tolist())
        return loss * (np.nan if self.global_step == 5 else 1)

    monkeypatch.setattr(VAE, "training_step", poisoned)
    code, printed = command("train", *small)
    assert code == 1
    assert "training loss at step 6, epoch 2 is nan" in printed
    assert str(batches[5]) in printed
    run = only_run()
    assert not (run / "DONE").exists()
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in weights.values())
    monkeypatch.setattr(VAE, "training_step", step)
    assert command("train", *small)[0] == 0


def test_a_validation_loss_that_is_not_finite_stops_the_run(command, small, monkeypatch):
    step = VAE.validation_step
    monkeypatch.setattr(VAE, "validation_step", lambda *a: step(*a) * np.inf)
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
        (["init_from=nowhere"], "init_from=nowhere: this is not a run"),
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
        (["model.width=null"], "model.width=None: it takes a whole number"),
        (["data.augment=3"], "data.augment=3: it takes true or false"),
        (["data.split=0.8"], "data.split=0.8"),
        (["seed=null"], "seed=None"),
        (["seed=-1"], "seed=-1"),
        (["run_name=../up"], "plain folder name"),
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


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("vae158", "cosmos"),
        ("cvae", "cosmos"),
        ("cvae2", "cosmos"),
        ("fancy_cvae", "cosmos"),
        ("vae128", "deepfield"),
    ],
)
def test_the_original_models_train_on_the_original_layouts(command, model, data):
    file = {"cosmos": "cosmos_with_zphot.h5", "deepfield": "deepfield_augmented.h5"}[data]
    code, printed = command(
        "train",
        f"model={model}",
        f"data={data}",
        f"data.file={SEED_LAYOUT / file}",
        "trainer.max_epochs=2",
        *NARROW,
    )
    assert code == 0, printed
    rows = read_metrics(only_run())
    assert rows[1]["train/loss"] < rows[0]["train/loss"]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_a_narrow_cvae2_overfits_64_real_galaxies(command, tmp_path):
    with h5py.File(SEED_LAYOUT / "cosmos_with_zphot.h5") as old, h5py.File("64.h5", "w") as new:
        new["images"], new["zphot"] = old["images"][:80], old["zphot"][:80]
    code, _ = command(
        "train",
        "model=cvae2",
        "data=cosmos",
        "data.file=64.h5",
        "data.image_size=64",
        "model.width=16",
        "network.code_channels=8",
        "data.batch_size=8",
        "optimizer.lr=0.003",
        "lr_schedule=cosine",
        "beta_schedule.beta=0.001",
        "trainer.max_epochs=80",
        "trainer.accelerator=cpu",
        "callbacks.progress=null",
        NO_PICTURES,
    )
    assert code == 0
    datamodule = instantiate(read_config(only_run()).data)
    datamodule.setup()
    batch = datamodule.first("train", 100)
    assert len(batch.image) == 64
    model = galgen.load(only_run(), "last").model
    latent = model.encode(batch.image, batch.redshift).mean
    reconstruction = model.decode(latent, batch.redshift)
    squared_error = (reconstruction - batch.image).square().sum()
    assert squared_error < batch.image.square().sum() / 5
