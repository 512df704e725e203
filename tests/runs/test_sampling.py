"""Galaxies of a run's priors: each is a function of its seed, number and conditions alone."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from galgen.errors import GalgenError
from galgen.models.blocks import DECODE_BLOCK, LATENT_BLOCK
from galgen.models.checkpoints import read_and_hash
from galgen.priors import fitted
from galgen.priors.flow import LatentFlow
from galgen.priors.mixture import GaussianMixture
from galgen.priors.two_stage import TwoStage
from galgen.runs.trained_run import TrainedRun
from tests.conftest import untrained_run

NAMES = ("redshift", "magnitude", "size")
KINDS = ("flow", "gmm", "two_stage")
N = LATENT_BLOCK + 60


def with_priors(directory: Path, *names: str) -> TrainedRun:
    """Give a run priors of random weights that are conditional on columns."""
    required = int(bool(names))
    kinds = {
        "flow": (LatentFlow, names, {"transforms": 2, "width": 8}),
        "gmm": (GaussianMixture, names[:required], {"components": 5}),
        "two_stage": (TwoStage, names, {"width": 8}),
    }
    sha256 = read_and_hash(directory / "checkpoints" / "best.ckpt")[1]
    about = {"weights_sha256": sha256, "val_nll": 1.0, "val_nll_normal": 2.0}
    torch.manual_seed(0)
    for kind, (cls, conditions, own) in kinds.items():
        arguments = {"latent_dim": 3, "conditions": list(conditions), "required": required, **own}
        prior = cls(**arguments)
        if kind == "gmm":
            prior.mean.normal_()
            root = torch.randn_like(prior.covariance)
            prior.covariance.copy_(root @ root.mT + torch.eye(root.shape[-1]))
        node = {"_target_": f"{cls.__module__}.{cls.__name__}", **arguments}
        fitted.save(directory, kind, prior, node, about)
    return TrainedRun(directory)


@pytest.fixture(scope="module")
def cvae2(tmp_path_factory) -> TrainedRun:
    return with_priors(untrained_run(tmp_path_factory.mktemp("cvae2")), *NAMES)


@pytest.fixture(scope="module")
def vae(tmp_path_factory) -> TrainedRun:
    return with_priors(untrained_run(tmp_path_factory.mktemp("vae"), "model=vae"))


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    """Return redshifts, and magnitudes of which some are unknown."""
    magnitude = np.linspace(-1, 1, N)
    magnitude[::3] = math.nan
    return {"redshift": np.linspace(0.1, 2, N), "magnitude": magnitude}


@pytest.mark.parametrize("kind", KINDS)
def test_a_latent_is_the_same_to_the_bit_at_any_start_and_number(cvae2, known, kind):
    def draw(start, n, seed=4):
        values = {name: column[start : start + n] for name, column in known.items()}
        return cvae2.draw_latents(n, values, kind, seed, start)

    whole = draw(0, N)
    assert whole.shape == (N, 3)
    assert whole.isfinite().all()
    for start, n in ((0, 1), (0, 16), (7, 9), (LATENT_BLOCK - 3, 6), (LATENT_BLOCK, 60)):
        assert torch.equal(draw(start, n), whole[start : start + n]), (start, n)
    assert draw(3, 0).shape == (0, 3)
    assert not torch.equal(draw(0, 5, seed=5), whole[:5])


@pytest.mark.parametrize("kind", ["normal", *KINDS])
def test_galaxies_are_the_decoded_latents(cvae2, vae, known, kind):
    n = DECODE_BLOCK + 4
    redshift = known["redshift"][:n]
    images = cvae2.sample(n, redshift, kind, seed=2)
    latent = cvae2.draw_latents(n, {"redshift": redshift}, kind, seed=2)
    direct = cvae2.model.decode(latent, torch.from_numpy(redshift).float()).numpy()
    np.testing.assert_allclose(images, direct, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(cvae2.sample(3, redshift[5:8], kind, 2, 5), images[5:8])
    unconditional = vae.sample(n, prior=kind, seed=2)
    again = vae.sample(3, prior=kind, seed=2, start=5)
    np.testing.assert_array_equal(again, unconditional[5:8])
    other = "normal" if kind != "normal" else "flow"
    assert not np.array_equal(unconditional, vae.sample(n, seed=2, prior=other))
    assert vae.sample(0, prior=kind).shape == (0, 1, 32, 32)


@pytest.mark.parametrize("kind", ["flow", "two_stage"])
def test_latents_follow_what_is_known_of_a_galaxy(cvae2, kind):
    half = np.array([math.nan, 0.5, math.nan, 0.5])

    def draw(redshift=0.7, **others):
        return cvae2.draw_latents(4, {"redshift": redshift, **others}, kind)

    unknown, some, given = draw(), draw(magnitude=half), draw(magnitude=0.5)
    assert torch.equal(some[::2], unknown[::2])
    assert (some[1::2] != unknown[1::2]).all()
    assert torch.equal(some[1::2], given[1::2])  # one number stands for all
    assert torch.equal(some, draw(np.full(4, 0.7), magnitude=half.astype(">f8")))
    assert not torch.equal(given, draw(magnitude=0.5, size=1.0))
    assert not torch.equal(unknown, draw(1.7))


def test_a_mixture_uses_the_redshift_alone(cvae2):
    latent = cvae2.draw_latents(4, {"redshift": 0.7}, "gmm")
    assert torch.equal(latent, cvae2.draw_latents(4, {"redshift": 0.7, "magnitude": 9}, "gmm"))
    assert not torch.equal(latent, cvae2.draw_latents(4, {"redshift": 1.7}, "gmm"))
    with pytest.raises(ValueError, match=r"magnitude: .*prior=gmm (does not know|knows) it"):
        cvae2.sample(4, 0.7, "gmm", magnitude=22)


@pytest.mark.parametrize("kind", ["normal", *KINDS])
def test_conditions_that_are_missing_or_too_many(cvae2, kind):
    with pytest.raises(ValueError, match="give it a redshift"):
        cvae2.sample(2, None, kind)
    for wrong in (np.ones(3), np.ones((2, 1))):
        with pytest.raises(ValueError, match="2 galaxies need 2 of redshift"):
            cvae2.sample(2, wrong, kind)
        with pytest.raises(ValueError, match="2 galaxies need 2 of magnitude"):
            cvae2.sample(2, 0.7, "flow", magnitude=wrong)


@pytest.mark.parametrize("redshift", [-0.1, math.nan, math.inf])
def test_redshifts_that_no_galaxy_has(cvae2, redshift):
    with pytest.raises(ValueError, match=r"redshift(=.*: it must| is infinite)"):
        cvae2.sample(2, redshift, "normal")


def test_a_prior_that_is_not_fitted_is_refused_with_those_there_are(cvae2):
    with pytest.raises(GalgenError, match=r"prior=glow: it is not fitted .* flow, gmm, two_stage"):
        cvae2.sample(1, 0.5, prior="glow")


def test_a_redshift_for_each_galaxy_is_the_same_as_one_for_all(cvae2):
    same = cvae2.sample(3, np.full(3, 0.5), "normal")
    np.testing.assert_array_equal(same, cvae2.sample(3, 0.5, "normal"))
    assert not np.array_equal(same, cvae2.sample(3, 2.0, "normal"))
