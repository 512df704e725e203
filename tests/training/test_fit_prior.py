"""Fitting priors to a run: what is learned is kept, found again, and generated from."""

import copy
import pickle
import re
import subprocess
import sys
from pathlib import Path

import galsim
import h5py
import numpy as np
import pytest
import torch

import galgen
from galgen.data.stamp_writing import write_stamps
from galgen.figures.samples import Samples
from galgen.priors import fitted as fitted_priors
from galgen.runs.trained_run import TrainedRun
from tests.conftest import discs, train_once
from tests.training.conftest import KINDS, PRIORS, REDSHIFT, copied, files_of, fit, words


def test_the_command_fits_all_and_the_same_each_time(command, fitted, full, tmp_path):
    run = copied(full, tmp_path)
    code, printed = fit(command, run)
    assert code == 0, printed
    assert re.search(r"tiny: 64 galaxies, \d of 3 dimensions active", printed)
    for kind in PRIORS:
        assert f"{kind}.ckpt: held-out latents cost" in printed
    assert "conditions.ckpt: redshift, magnitude, size of 6" in printed
    assert files_of(run) == files_of(fitted)
    assert set(files_of(run)) == set(KINDS)
    assert not list(run.rglob("*.part"))
    code, printed = fit(command, run, "seed=1")
    assert code == 0, printed
    assert all(found != files_of(fitted)[kind] for kind, found in files_of(run).items()
               if kind != "conditions")  # fmt: skip


def test_a_file_says_what_it_is_of(fitted):
    run = galgen.load(fitted)
    for kind in PRIORS:
        module, about = fitted_priors.read(fitted, kind)
        assert about["weights_sha256"] == run.weights_sha256
        known = ["redshift"] if kind == "gmm" else ["redshift", "magnitude", "size"]
        assert module.conditions == known
        assert (module.latent_dim, module.required) == (3, 1)
        assert np.isfinite([about["val_nll"], about["val_nll_normal"]]).all()
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
    assert list(run.priors) == ["normal", *sorted(PRIORS)]
    assert "conditions" not in run.priors


def test_the_best_of_the_fitted_priors_is_the_default(command, fitted, full, tmp_path):
    run = galgen.load(fitted)
    costs = {kind: fitted_priors.read(fitted, kind)[1] for kind in PRIORS}
    better = [kind for kind, a in costs.items() if a["val_nll"] < a["val_nll_normal"]]
    expected = min(better, key=lambda kind: costs[kind]["val_nll"], default="normal")
    assert run.priors.choose(set()) == expected
    np.testing.assert_array_equal(run.sample(3, 1.0), run.sample(3, 1.0, expected))
    assert command("generate", f"run={fitted}", "n=3", "redshift=1", "out=m.h5")[0] == 0
    with h5py.File("m.h5") as file:
        assert file.attrs["prior"] == expected
    code, printed = command("generate", f"run={full}", "n=3", "redshift=1", "out=n.h5")
    assert (code, "prior=normal: no prior is fitted to this run" in printed) == (0, True)


def test_a_prior_that_is_worse_than_none_is_no_default(full, tmp_path):
    run = copied(full, tmp_path)
    about = {"node": {}, "state_dict": {}, "weights_sha256": galgen.load(run).weights_sha256}
    (run / "priors").mkdir()
    for kind, cost in {"gmm": 368.0, "flow": 12.0}.items():
        path = fitted_priors.path_of(run, kind)
        torch.save({**about, "val_nll": cost, "val_nll_normal": 12.7}, path)
    priors = galgen.load(run).priors
    assert priors.better == ["flow"]
    assert "cost 368.0 nats, more than the 12.7 under N(0, 1)" in priors.note("gmm")
    assert "12.7 nats under N(0, 1) and 12.0 under prior=flow" in priors.note("normal")
    assert priors.note("flow") is None
    fitted_priors.path_of(run, "flow").unlink()
    priors = galgen.load(run).priors
    assert (priors.choose(set()), priors.note("normal")) == ("normal", None)


def test_a_mixture_of_too_few_galaxies_says_that_it_is_worse_than_none(command, full, tmp_path):
    run = copied(full, tmp_path)
    code, printed = fit(command, run, "prior.gmm.components=40", kinds=["gmm"])
    assert code == 0, printed
    assert "It is worse than no fit" in printed


def test_figures_and_galsim_objects_have_the_prior(command, fitted):
    code, printed = command(
        "plot", f"run={fitted}", "figure=samples", "n=3", "redshift=1", "prior=flow", "out=pictures"
    )
    assert code == 0, printed
    assert Path("pictures/samples_n3_redshift1_priorflow.png").is_file()
    run, shown = TrainedRun(fitted), []
    Samples._make, make = lambda *a: shown.append(make(*a)) or shown[-1], Samples._make
    try:
        Samples(n=3, redshift=[0.5, 1.0], priors=["gmm"], seed=2).draw(run)
    finally:
        Samples._make = make
    np.testing.assert_array_equal(shown[1], run.sample(1, 1.0, "gmm", 2))
    objects = galgen.galsim_objects(fitted, 3, redshift=[*map(float, REDSHIFT)], prior="flow")
    images = galgen.load(fitted).sample(3, REDSHIFT, "flow")[:, 0]
    for galaxy, image in zip(objects, images, strict=True):
        np.testing.assert_allclose(galaxy.image.array, image, rtol=1e-6)
    node = {"type": "GalgenGalaxy", "run": str(fitted), "redshift": 1.0, "index": 1}
    config = {"modules": ["galgen.catalogues.galsim_galaxies"], "gal": {**node, "prior": "flow"}}
    galsim.config.ImportModules(config)
    [galaxy, _] = galsim.config.BuildGSObject(config, "gal")
    np.testing.assert_allclose(galaxy.image.array, images[1], rtol=1e-6)


@pytest.mark.parametrize("dimensions", [[1], [0, 1, 2]])
def test_collapsed_dimensions_are_reported_and_fitted(command, full, tmp_path, dimensions):
    run = copied(full, tmp_path)
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["encoder.linear1.weight"] *= 20  # of the others, which are active
    for head in ("linear1", "linear2"):
        for name in ("weight", "bias"):
            checkpoint["state_dict"][f"encoder.{head}.{name}"][dimensions] = 0
    torch.save(checkpoint, path)
    code, printed = fit(command, run)
    assert code == 0, printed
    collapsed = ", ".join(map(str, dimensions))
    assert f"{3 - len(dimensions)} of 3 dimensions active" in printed
    assert f"collapsed to the prior: {collapsed} (counted from 0)" in printed
    loaded = galgen.load(run)
    for prior in PRIORS:
        latent = loaded.draw_latents(4000, {"redshift": 1.0}, prior)[:, dimensions]
        assert latent.isfinite().all()
        assert latent.std(dim=0).numpy() == pytest.approx(1, abs=0.4)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Path:
    """Train a vae of one latent on 40 galaxies that have nothing but magnitudes, all in training.

    Of the validation part none is known.
    """
    folder = tmp_path_factory.mktemp("narrow")
    survey = folder / "survey.h5"
    write_stamps(survey, [{"image": discs(40)}], {"survey": "mine"})
    data = ["data=mosaic", f"data.file={survey}", "transform=none", "model=vae"]
    run = train_once(folder, *data, "model.latent_dim=1", "model.output=softplus")
    magnitude = np.full(40, np.nan, np.float32)
    rows = TrainedRun(run, "cpu").survey.parts["train"].rows
    magnitude[rows] = np.linspace(20, 25, len(rows))
    with h5py.File(survey, "r+") as file:
        file["magnitude"] = magnitude
    return run


def test_one_latent_is_too_few_for_a_flow_and_not_for_the_others(command, narrow, tmp_path):
    run = copied(narrow, tmp_path)
    code, printed = fit(command, run, kinds=["flow"])
    assert (code, "flow: latent_dim=1: a coupling flow takes 2 or more" in printed) == (1, True)
    assert files_of(run) == {}
    code, printed = fit(command, run, kinds=["gmm", "two_stage"])
    assert code == 0, printed
    assert "too few galaxies have magnitude to learn from" in printed  # none to hold out
    loaded = galgen.load(run)
    for prior in ("gmm", "two_stage"):
        assert np.isfinite(loaded.sample(5, prior=prior)).all()
    assert loaded.sample(5, prior="two_stage", magnitude=22).shape == (5, 1, 32, 32)
    with pytest.raises(ValueError, match=r"magnitude: .*prior=gmm (does not know|knows) it"):
        loaded.sample(5, prior="gmm", magnitude=22)


def test_fewer_galaxies_than_components(command, narrow, tmp_path):
    run = copied(narrow, tmp_path)
    code, printed = fit(command, run, "prior.gmm.components=33", kinds=["gmm"])
    assert (code, "gmm: components=33: too many for 32 samples" in printed) == (1, True)


def test_a_survey_without_conditions_has_a_prior_all_the_same(command, physical, tmp_path):
    run = copied(physical, tmp_path)
    code, printed = fit(command, run)
    assert code == 0, printed
    assert "has no redshifts, magnitudes or sizes to learn" in printed
    assert set(files_of(run)) == set(PRIORS)
    for prior in PRIORS:
        code, printed = command("generate", f"run={run}", "n=5", f"out={prior}.h5",
                                f"prior={prior}")  # fmt: skip
        assert code == 0, printed
        with h5py.File(f"{prior}.h5") as file:
            images = galgen.load(run).sample(5, prior=prior)
            np.testing.assert_array_equal(file["image"][:], images)


def test_a_survey_of_redshifts_alone(command, trained, tmp_path):
    run = copied(trained, tmp_path)
    code, printed = fit(command, run, kinds=["flow"])
    assert code == 0, printed
    assert "conditions.ckpt: redshift of 64 galaxies" in printed
    assert "can be asked for by magnitude or size, which the survey lacks" in printed
    code, printed = command("generate", f"run={run}", "n=20", "out=m.h5", "conditions=learned",
                            "prior=flow")  # fmt: skip
    assert code == 0, printed
    with h5py.File("m.h5") as file:
        assert 0.1 <= file["redshift"][:].min() < file["redshift"][:].max() <= 3
        assert not [name for name in file if name.startswith("requested")]
        images = galgen.load(run).sample(20, file["redshift"][:], "flow")
        np.testing.assert_array_equal(file["image"][:], images)


def test_zuko_is_imported_by_those_alone_who_use_a_flow(fitted):
    script = (
        "import sys, galgen\n"
        f"run = galgen.load({str(fitted)!r})\n"
        "run.sample(2, 0.5, prior='gmm')\n"
        "print('zuko' in sys.modules, 'sklearn' in sys.modules)\n"
        "run.sample(2, 0.5, prior='flow')\n"
        "print('zuko' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])
def test_a_loaded_run_is_copied_and_pickled_with_its_priors(fitted, copied):
    run = galgen.load(fitted)
    expected = run.sample(2, 0.5, "flow")
    other = copied(run)
    np.testing.assert_array_equal(other.sample(2, 0.5, "flow"), expected)
    assert other.priors.model is other.model


def test_a_training_fits_its_priors_in_the_end_and_once(command, small):
    arguments = [*small, "run_name=mine", *words("gmm")[::2]]
    code, printed = command("train", *arguments)
    assert code == 0, printed
    assert "gmm.ckpt: held-out latents cost" in printed
    before = files_of(Path("runs/mine"))
    assert set(before) == {"gmm", "conditions"}
    code, printed = command("train", *arguments)
    assert (code, "is already finished" in printed, "held-out" in printed) == (0, True, False)
    code, printed = command("train", *arguments[:-1], "prior.gmm.components=2")
    assert (code, "is already finished" in printed, "held-out" in printed) == (0, True, True)
    assert files_of(Path("runs/mine")) != before
    code, printed = command("train", *arguments, "trainer.max_epochs=3")
    assert (code, "held-out" in printed) == (0, True)
    assert galgen.load("runs/mine").sample(2, 0.5, "gmm").shape == (2, 1, 32, 32)


def test_a_run_s_own_command_fits_priors_that_were_interrupted(command, small, monkeypatch):
    from galgen.priors.mixture import GaussianMixture

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    arguments = [*small, "run_name=mine", *words("gmm")[::2]]
    with monkeypatch.context() as patch:
        patch.setattr(GaussianMixture, "fit", interrupted)
        code, printed = command("train", *arguments)
    assert (code, "The same command continues" in printed) == (130, True)
    assert files_of(Path("runs/mine")) == {}
    code, printed = command("train", *arguments)
    assert (code, "is already finished" in printed) == (0, True)
    assert set(files_of(Path("runs/mine"))) == {"gmm", "conditions"}
