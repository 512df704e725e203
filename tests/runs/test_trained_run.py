"""Runs as they are used: which weights, which unit, which galaxies."""

import hashlib
import shutil

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import galgen
from galgen.data.identity import split_facts
from galgen.errors import GalgenError
from galgen.runs.requested_conditions import training_redshifts
from galgen.runs.trained_run import TrainedRun
from tests.conftest import discs


def test_unit_scale_and_zero_point_follow_from_the_run(trained, physical):
    run = TrainedRun(trained)
    assert (run.unit, run.pixel_scale, run.zero_points) == ("peak", 0.03, [None])
    run = TrainedRun(physical)
    assert (run.unit, run.pixel_scale, run.zero_points) == ("counts/s", 0.05, [25.5])
    np.testing.assert_allclose(
        run.physical(torch.asinh(torch.ones(1, 2, 2) / 0.5)), np.ones((1, 2, 2)), rtol=1e-6
    )


def test_the_survey_is_split_as_in_the_training(trained):
    run = TrainedRun(trained)
    assert split_facts(run.survey) == run.facts["split"]
    assert len(training_redshifts(run)) == run.facts["split"]["counts"]["train"]
    batch = run.survey.batch("val", np.array([5, 2]))
    assert batch.index.tolist() == run.survey.parts["val"].rows[[5, 2]].tolist()


def test_a_survey_of_other_galaxies_is_refused_and_a_moved_one_found(trained, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"], file["zphot"] = discs(70), np.ones(70)
    with h5py.File(tmp_path / "disorder.h5", "w") as file:
        file["images"], file["zphot"] = discs(80), np.linspace(3, 0.1, 80, dtype="f4")
    for name in ("other.h5", "disorder.h5"):
        run = TrainedRun(trained, data_file=str(tmp_path / name))
        with pytest.raises(GalgenError, match="other galaxies"):
            training_redshifts(run)
    moved = shutil.copy(trained.parents[1] / "survey.h5", tmp_path / "moved.h5")
    assert len(TrainedRun(trained, data_file=moved).survey.stamps) == 80


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("transform", "galgen.data.stamp_writing.Sink"),
        ("transform", "pytorch_lightning.loggers.CSVLogger"),
        ("data", "pytorch_lightning.loggers.CSVLogger"),
        ("data.file", "galgen.data.stamp_writing.Sink"),
        ("data.transform", "torch.nn.Identity"),
    ],
)
def test_a_config_makes_nothing_but_a_model_and_its_survey(trained, tmp_path, key, target):
    run, precious = shutil.copytree(trained, tmp_path / "run"), tmp_path / "precious"
    precious.write_text("precious")
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(config, key, {"_target_": target, "_args_": [str(precious)]}, merge=False)
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(GalgenError, match="refused"):
        TrainedRun(run)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("key", ["model", "data", "transform"])
def test_a_config_without_a_part_is_damaged(trained, tmp_path, key):
    run = shutil.copytree(trained, tmp_path / "run")
    config = OmegaConf.load(run / "config.yaml")
    del config[key]
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(GalgenError, match=f"damaged: it has no {key}"):
        TrainedRun(run)


def test_weights_that_are_not_finite_are_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["decoder.linear1.bias"][0] = torch.nan
    torch.save(checkpoint, path)
    with pytest.raises(GalgenError, match="not finite"):
        galgen.load(run)


def test_the_weights_are_hashed_as_they_were_read(trained):
    expected = hashlib.sha256((trained / "checkpoints" / "best.ckpt").read_bytes()).hexdigest()
    assert galgen.load(trained).weights_sha256 == expected


def test_an_unfinished_run_gives_its_last_weights_and_says_so(trained, tmp_path, caplog):
    run = shutil.copytree(trained, tmp_path / "run")
    best = galgen.load(run).model.state_dict()
    assert "not finished" not in caplog.text
    (run / "DONE").unlink()
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    found = galgen.load(run).model.state_dict()
    assert "not finished: these are its weights of epoch 2" in caplog.text
    assert all(torch.equal(found[name], last[name]) for name in last)
    assert all(torch.equal(galgen.load(run, "best").model.state_dict()[n], best[n]) for n in best)


def test_arrays_of_any_type_and_tensors_go_in_and_arrays_come_out(trained):
    run = galgen.load(trained)
    images, redshift = discs(3), np.array([0.5, 1, 2])
    expected = run.reconstruct(torch.tensor(images), torch.tensor(redshift))
    assert isinstance(expected, np.ndarray)
    for kind in ("<f4", ">f4", "f8"):
        found = run.reconstruct(images.astype(kind), redshift.astype(kind))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    q = run.encode(images, 0.7)
    assert q.mean.numpy().shape == (3, 3)
    assert run.decode(q.mean.numpy(), 0.7).shape == (3, 1, 32, 32)


def test_a_peak_model_subtracts_the_usual_background_as_in_training(trained):
    run, images = galgen.load(trained), discs(4)
    expected = run.scaled(images)
    run.facts["background"] = [0.1]
    torch.testing.assert_close(run.scaled(images + 0.1), expected, atol=1e-6, rtol=0)
    assert not torch.allclose(run.scaled(images), expected, atol=1e-3)


def test_images_are_in_the_unit_of_the_survey(physical):
    run = galgen.load(physical)
    images = 1.5 * discs(4)
    latent = run.encode(images).mean
    direct = run.model.encode(torch.asinh(torch.from_numpy(images)[:, None] / 0.5)).mean
    torch.testing.assert_close(latent, direct)
    decoded = 0.5 * np.sinh(run.model.decode(latent).numpy())
    np.testing.assert_allclose(run.decode(latent), decoded, rtol=1e-6)
    np.testing.assert_array_equal(run.reconstruct(images), run.decode(latent))
    latent = run.draw_latents(3, {}, "normal", seed=2)
    made = 0.5 * np.sinh(run.model.decode(latent).numpy())
    np.testing.assert_allclose(run.sample(3, seed=2), made, rtol=1e-5)


@pytest.mark.parametrize("shape", [(32, 32), (2, 2, 32, 32), (2, 30, 30)])
def test_images_of_another_shape_are_refused(trained, shape):
    with pytest.raises(ValueError, match=r"takes \(N, 1, 32, 32\)"):
        galgen.load(trained).reconstruct(np.zeros(shape), 0.5)


def test_samples_from_a_number_on_are_that_slice(trained):
    run = galgen.load(trained)
    redshift = torch.linspace(0.2, 2, 50)
    many = run.sample(50, redshift, seed=2)
    for start, n in ((0, 1), (13, 7), (16, 16), (31, 19)):
        piece = run.sample(n, redshift[start : start + n], seed=2, start=start)
        np.testing.assert_array_equal(piece, many[start : start + n])


def test_redshifts_that_the_model_cannot_know(trained, physical, caplog):
    run = galgen.load(trained)
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"redshift(=.*: it must| is infinite)"):
            run.sample(2, redshift=bad)
    low, high = run.trained_redshifts
    assert "beyond" not in caplog.text
    run.sample(2, redshift=9)
    assert f"beyond the {low:.3g} to {high:.3g}" in caplog.text
    with pytest.raises(ValueError, match="does not use redshift"):
        galgen.load(physical).sample(2, redshift=0.5)


def test_a_device_that_there_is_not(trained):
    with pytest.raises(GalgenError, match="device=nonsense"):
        TrainedRun(trained, device="nonsense")
