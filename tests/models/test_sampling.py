"""Galaxies of fitted priors: each is a function of its seed, number and conditions alone."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from galgen.models.cvae2 import CVAE2
from galgen.models.vae import DECODE_BLOCK, LATENT_BLOCK, VAE, in_blocks
from galgen.priors.flow import LatentFlow
from galgen.priors.mixture import GaussianMixture
from galgen.priors.two_stage import TwoStage

NAMES = ("redshift", "magnitude", "flux_radius")
KINDS = ("flow", "gmm", "two_stage")
N = LATENT_BLOCK + 60


def scattered_mixture(latent_dim: int, **arguments) -> GaussianMixture:
    mixture = GaussianMixture(latent_dim, components=5, **arguments)
    mixture.mean.normal_()
    root = torch.randn_like(mixture.covariance)
    mixture.covariance.copy_(root @ root.mT + torch.eye(root.shape[-1]))
    return mixture


def with_priors(model: VAE, *names: str) -> VAE:
    """Give a model priors of random weights that are conditional on columns."""
    arguments = {"conditions": len(names), "required": int(model.conditional)}
    size = {"latent_dim": model.latent_dim, **arguments}
    priors = {
        "flow": LatentFlow(transforms=2, width=8, **size),
        "gmm": scattered_mixture(**size),
        "two_stage": TwoStage(width=8, **size),
    }
    for prior in priors.values():
        prior.condition_names = list(names)
        prior.eval().requires_grad_(False)
    model.priors = priors
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def cvae2() -> VAE:
    torch.manual_seed(0)
    return with_priors(CVAE2(image_size=32, width=4, latent_dim=3), *NAMES)


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    return with_priors(VAE(image_size=32, width=4, latent_dim=3))


@pytest.fixture(scope="module")
def known() -> dict[str, torch.Tensor]:
    """Return redshifts, and magnitudes of which some are unknown."""
    magnitude = torch.linspace(-1, 1, N)
    magnitude[::3] = math.nan
    return {"redshift": torch.linspace(0.1, 2, N), "magnitude": magnitude}


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 40])
@pytest.mark.parametrize("start", [0, 1, 15, 16, 33])
def test_blocks_are_full_aligned_and_give_every_row_once(start, n):
    seen = []

    def double(number, plane):
        seen.append(len(number))
        assert plane.shape == (len(number), 2)
        return 2 * number + plane[:, :1]

    numbers = torch.arange(start, start + n, dtype=torch.float)[:, None]
    made = in_blocks(double, 16, start, numbers, torch.ones(n, 2))
    assert torch.equal(made, 2 * numbers + 1)
    blocks = len({number // 16 for number in range(start, start + n)})
    assert n == 0 or seen == [16] * blocks


@pytest.mark.parametrize("kind", KINDS)
def test_a_latent_is_the_same_to_the_bit_at_any_start_and_number(cvae2, known, kind):
    def draw(start, n, seed=4):
        rows = slice(start, start + n)
        redshift, magnitude = known["redshift"][rows], known["magnitude"][rows]
        return cvae2.draw_latents(n, redshift, kind, seed, start, {"magnitude": magnitude})

    whole = draw(0, N)
    assert whole.shape == (N, 3)
    assert whole.isfinite().all()
    for start, n in ((0, 1), (0, 16), (7, 9), (LATENT_BLOCK - 3, 6), (LATENT_BLOCK, 60)):
        assert torch.equal(draw(start, n), whole[start : start + n]), (start, n)
    assert draw(3, 0).shape == (0, 3)
    assert not torch.equal(draw(0, 5, seed=5), whole[:5])


@pytest.mark.parametrize("kind", KINDS)
def test_galaxies_are_the_decoded_latents(cvae2, vae, known, kind):
    n = DECODE_BLOCK + 4
    redshift = known["redshift"][:n]
    images = cvae2.sample(n, redshift, kind, seed=2)
    latent = cvae2.draw_latents(n, redshift, kind, seed=2)
    torch.testing.assert_close(images, cvae2.decode(latent, redshift), rtol=1e-5, atol=1e-6)
    assert torch.equal(cvae2.sample(3, redshift[5:8], kind, 2, 5), images[5:8])
    unconditional = vae.sample(n, prior=kind, seed=2)
    assert torch.equal(vae.sample(3, prior=kind, seed=2, start=5), unconditional[5:8])
    assert not torch.equal(unconditional, vae.sample(n, seed=2))


@pytest.mark.parametrize("kind", ["flow", "two_stage"])
def test_latents_follow_what_is_known_of_a_galaxy(cvae2, kind):
    half = torch.tensor([math.nan, 0.5, math.nan, 0.5])
    redshift = torch.full((4,), 0.7)
    unknown = cvae2.draw_latents(4, redshift, kind)
    some = cvae2.draw_latents(4, redshift, kind, conditions={"magnitude": half})
    assert torch.equal(some[::2], unknown[::2])
    assert (some[1::2] != unknown[1::2]).all()
    given = cvae2.draw_latents(4, redshift, kind, conditions={"magnitude": 0.5})
    assert torch.equal(some[1::2], given[1::2])  # one number stands for all
    array = half.numpy().astype(">f8")
    assert torch.equal(some, cvae2.draw_latents(4, 0.7, kind, conditions={"magnitude": array}))
    assert not torch.equal(given, cvae2.draw_latents(4, redshift, kind, conditions={
        "magnitude": 0.5, "flux_radius": 1.0
    }))  # fmt: skip
    assert not torch.equal(unknown, cvae2.draw_latents(4, redshift + 1, kind))


def test_a_mixture_uses_the_redshift_alone(cvae2):
    latent = cvae2.draw_latents(4, 0.7, "gmm")
    assert torch.equal(latent, cvae2.draw_latents(4, 0.7, "gmm", conditions={"magnitude": 9}))
    assert not torch.equal(latent, cvae2.draw_latents(4, 1.7, "gmm"))


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_that_are_missing_or_too_many(cvae2, kind):
    with pytest.raises(ValueError, match="give it a redshift"):
        cvae2.draw_latents(2, None, kind)
    with pytest.raises(ValueError, match="2 galaxies need 2 redshifts"):
        cvae2.draw_latents(2, torch.ones(3), kind)
    for wrong in (torch.ones(3), torch.ones(2, 1)):
        with pytest.raises(ValueError, match="2 galaxies need 2 of magnitude"):
            cvae2.draw_latents(2, 0.7, kind, conditions={"magnitude": wrong})


def test_an_unknown_prior_is_refused_with_those_there_are(cvae2):
    with pytest.raises(ValueError, match="'glow', it can be normal, flow, gmm, two_stage"):
        cvae2.sample(1, 0.5, prior="glow")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_model_makes_the_same(cvae2, copied):
    other = copied(cvae2)
    for kind in KINDS:
        assert torch.equal(other.sample(3, 0.5, kind), cvae2.sample(3, 0.5, kind))


def test_priors_are_no_part_of_the_models_weights(cvae2):
    assert not [name for name in cvae2.state_dict() if "prior" in name]
    assert isinstance(cvae2.priors["flow"], nn.Module)
