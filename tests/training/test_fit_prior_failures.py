"""Fits of priors that cannot be done, were interrupted, or are not those of the run."""

import os
import pickle
import shutil
import signal
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import galgen
from galgen.errors import GalgenError
from galgen.priors import fitted as fitted_priors
from tests.training.conftest import KINDS, PRIORS, copied, files_of, fit


def test_a_prior_that_was_not_fitted_is_requested(full):
    for use in (
        lambda: galgen.load(full).sample(1, 0.5, prior="flow"),
        lambda: galgen.galsim_objects(full, 1, redshift=0.5, prior="flow"),  # at once
    ):
        with pytest.raises(GalgenError, match=r"not fitted .* Fit it: python -m galgen\.fit_prior"):
            use()


def test_a_prior_of_other_weights_is_refused(fitted, trained, tmp_path):
    run = copied(trained, tmp_path)
    shutil.copytree(fitted / "priors", run / "priors")
    loaded = galgen.load(run)
    for _ in range(2):
        with pytest.raises(GalgenError, match=r"fitted to other weights .* Fit it again"):
            loaded.sample(1, 0.5, prior="flow")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["truncated", "empty", "evil", "lacking", "another", "nan"])
def test_a_damaged_file_is_refused_and_never_executed(fitted, tmp_path, kind, damage):
    run = copied(fitted, tmp_path)
    path = fitted_priors.path_of(run, kind)
    content = torch.load(path, weights_only=True)
    if damage in ("truncated", "empty"):
        path.write_bytes(path.read_bytes()[: -200 if damage == "truncated" else 0])
    elif damage == "evil":
        path.write_bytes(pickle.dumps({**content, "evil": Evil()}))
        torch.save({**content, "evil": Evil()}, path)
    elif damage == "lacking":
        torch.save({"state_dict": content["state_dict"]}, path)
    elif damage == "another":
        other = "flow" if kind != "flow" else "gmm"
        shutil.copy(fitted_priors.path_of(run, other), path)
    else:
        first = next(n for n in reversed(content["state_dict"]) if content["state_dict"][n].numel())
        content["state_dict"][first].view(-1)[-1] = torch.nan
        torch.save(content, path)
    with pytest.raises(GalgenError, match=str(path)):
        fitted_priors.read(run, kind)
    assert not Path("executed").exists()


def test_a_latent_that_is_not_finite_is_no_place(command, full, tmp_path):
    """Weights that are finite and far too large."""
    run = copied(full, tmp_path)
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["encoder.linear1.weight"][:] = 3e38
    checkpoint["state_dict"]["encoder.layers.0.weight"] *= 1e10
    torch.save(checkpoint, path)
    code, printed = fit(command, run)
    assert (code, "latents of galaxies of the part 'train' are not finite" in printed) == (
        1,
        True,
    )


def test_a_survey_that_was_moved_is_asked_for_and_found(command, full, tmp_path):
    run = copied(full, tmp_path)
    config = OmegaConf.load(run / "config.yaml")
    there, config.data.file = config.data.file, str(tmp_path / "gone.h5")
    OmegaConf.save(config, run / "config.yaml")
    code, printed = fit(command, run, kinds=["gmm"])
    assert (code, "gone.h5" in printed, "data.file=" in printed) == (1, True, True)
    code, printed = fit(command, run, f"data.file={there}", kinds=["gmm"])
    assert code == 0, printed


@pytest.mark.parametrize("moment", ["training", "writing"])
def test_an_interrupted_fit_leaves_what_was_there(command, full, tmp_path, monkeypatch, moment):
    from galgen.training.prior_training import PriorTraining

    run = copied(full, tmp_path)
    (run / "priors").mkdir()
    fitted_priors.path_of(run, "flow").write_bytes(b"before")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # by which Lightning ends all Ctrl-C

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    if moment == "training":
        monkeypatch.setattr(PriorTraining, "validation_step", interrupted)
    else:
        monkeypatch.setattr("galgen.files.os.replace", interrupted)
    code, printed = fit(command, run, kinds=["flow"])
    assert (code, "interrupted" in printed, "continues" in printed) == (130, True, False)
    assert files_of(run) == {"flow": b"before"}
    assert not list(run.rglob("*.part"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run=nowhere"], "there is no such run"),
        (["prior=glow"], "prior=glow: there is no such option; did you mean 'flow'?"),
        (["seed=-1"], "seed=-1"),
        (["seed=1.5"], "seed=1.5"),
        (["prior.flow.batch_size=1"], "prior.flow: batch_size (1)"),
        (["prior.flow.max_epochs=0"], "max_epochs (0)"),
        (["prior.two_stage.patience=0"], "patience (0)"),
        (["prior.flow.width=wide"], "prior.flow.width=wide: it takes a whole number"),
        (["+prior.flow.depth=3"], "LatentFlow takes no such argument"),
        (["prior.flow.transforms=0"], "prior.flow: transforms (0)"),
        (["prior.gmm.components=0"], "prior.gmm: components=0"),
        (["prior.two_stage.width=0"], "prior.two_stage: width=0"),
        (["prior.flow.lr=-1"], "lr (-1) positive"),
        (["prior.flow.lr=1e30"], "never finite. Use a lower lr"),
        (["prior.flow._target_=os.system"], "refused"),
        (["prior.flow._target_=galgen.models.vae.VAE"], "VAE takes no such argument"),
        (["device=nonsense"], "device=nonsense"),
        (["m=3"], "no such key"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_nothing(command, full, tmp_path, overrides, sentence):
    run = copied(full, tmp_path)
    kinds = [kind for kind in PRIORS if kind in overrides[0]] or ["flow"]
    code, printed = fit(command, run, *overrides, kinds=kinds)
    assert code == 1
    assert sentence in printed, printed
    assert files_of(run) == {}
