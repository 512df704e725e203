"""Networks of a latent map."""

import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional

from galgen.models.cvae import CVAE
from galgen.models.cvae2 import CVAE2
from galgen.models.fancy_cvae import FancyCVAE
from galgen.models.spatial import MARGIN, Spatial, _with_margins, sides
from galgen.models.vae import VAE


@pytest.mark.parametrize(
    ("image_size", "latent_size", "expected"),
    [
        (64, 8, [64, 32, 16, 8]),
        (158, 8, [158, 79, 40, 20, 10, 8]),
        (128, 16, [128, 64, 32, 16]),
        (65, 8, [65, 33, 17, 9, 8]),
        (32, 8, [32, 16, 8]),
    ],
)
def test_sides_are_halved_down_to_the_map(image_size, latent_size, expected):
    assert sides(image_size, latent_size) == expected


@pytest.mark.parametrize("image_size", [32, 45, 64, 101, 158, 256])
@pytest.mark.parametrize("bands", [1, 3])
def test_any_image_size(image_size, bands):
    names = ["a", "b", "c"][:bands]
    model = VAE(image_size, names, latent_dim=128, width=8, norm="group", network=Spatial())
    assert (model.latent_dim, model.latent_shape) == (128, (2, 8, 8))
    image = torch.rand(2, bands, image_size, image_size)
    q = model.encode(image)
    assert q.mean.shape == (2, 128)
    assert model.decode(q.mean).shape == image.shape


@pytest.mark.parametrize("model", [VAE, CVAE, CVAE2, FancyCVAE])
def test_a_vector_beside_the_map(model):
    """The vector is the end of the latent, and concerns the whole stamp."""
    torch.manual_seed(0)
    made = model(
        image_size=64, latent_dim=133, width=8, norm="batch", network=Spatial(vector=5)
    ).eval()
    assert made.latent_shape == (2, 8, 8)
    redshift = torch.full((2,), 0.7) if model.conditional else None
    q = made.encode(torch.rand(2, 1, 64, 64), redshift)
    assert q.mean.shape == q.stddev.shape == (2, 133)
    latent = torch.zeros(2, 133)
    latent[1, 130] = 3
    changed = made.decode(latent, redshift).diff(dim=0)[0, 0].abs().reshape(4, 16, 4, 16)
    assert (changed.amax(dim=(1, 3)) > 0).all()


def test_the_map_keeps_places():
    """Light in a corner changes the latents of that corner, and they the light there."""
    torch.manual_seed(0)
    # In this mode batch norm is local; group norm knows the mean of the stamp.
    model = VAE(64, latent_dim=256, width=8, norm="batch", network=Spatial()).eval()
    image = torch.zeros(2, 1, 64, 64)
    image[1, 0, 2:6, 2:6] = 1
    change = model.encode(image).mean.diff(dim=0).reshape(4, 8, 8).abs().sum(dim=0)
    assert change[:3, :3].sum() > change[5:, 5:].sum()
    latent = torch.zeros(2, 4, 8, 8)
    latent[1, :, 0, 0] = 5
    changed = model.decode(latent.flatten(1)).diff(dim=0)[0, 0].abs()
    assert changed[:16, :16].mean() > 10 * changed[48:, 48:].mean()


def spectrum_of_a_constant_latent(seed, **sizes):
    """Return the power along the rows of the middle of an image, by periods in its 32 px."""
    torch.manual_seed(seed)
    model = VAE(64, width=8, norm="group", output="none", **sizes).eval()
    image = model.decode(torch.ones(1, model.latent_dim)).detach().numpy()[0, 0, 16:48, 16:48]
    rows = (image - image.mean(axis=1, keepdims=True)) * np.hanning(32)
    return (np.abs(np.fft.rfft(rows)) ** 2).mean(axis=0)


def test_a_constant_latent_leaves_no_checkerboard():
    """No peak at periods of 2 and 4 px, where transposed convolutions have theirs."""
    seeds = range(4)
    found = [spectrum_of_a_constant_latent(s, latent_dim=256, network=Spatial()) for s in seeds]
    for power in found:
        assert power[16] < power[12] < power[8] < power[4]
    transposed = sum(spectrum_of_a_constant_latent(seed) for seed in seeds)
    assert transposed[16] > transposed[12]
    assert transposed[8] > transposed[6]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"latent_dim": 32, "network": Spatial()}, "such as model.latent_dim=256"),
        ({"latent_dim": 256, "network": Spatial(vector=16)}, "such as model.latent_dim=272"),
        ({"latent_dim": 16, "network": Spatial(vector=16)}, "such as model.latent_dim=272"),
        ({"latent_dim": 1600, "network": Spatial(latent_size=40)}, "network.latent_size=40"),
    ],
)
def test_sizes_that_contradict_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        VAE(64, **arguments)
    with pytest.raises(ValueError, match="residual_blocks=0: it must be positive"):
        Spatial(residual_blocks=0)
    with pytest.raises(ValueError, match="vector=-1: it must not be negative"):
        Spatial(vector=-1)


def test_positive_light_over_a_wide_range():
    model = VAE(32, latent_dim=256, width=8, output="sinh", flux_scale=3.0, network=Spatial())
    planes = torch.tensor([-5.0, 0.0, 8.0]).reshape(3, 1, 1, 1)
    light = model.light(planes, torch.zeros(3, model.latent_dim)).flatten().tolist()
    softplus = np.log1p(np.exp([-25.0, 0.0, 40.0])) / 5
    assert light == pytest.approx((3 * np.sinh(softplus)).tolist(), rel=1e-5)


def test_margins_are_those_of_torch():
    planes = torch.randn(3, 4, 8, 8, requires_grad=True)
    found, known = _with_margins(planes), functional.pad(planes, 4 * [MARGIN], "replicate")
    assert torch.equal(found, known)
    weights = torch.randn_like(found)
    slopes = [torch.autograd.grad((each * weights).sum(), planes)[0] for each in (found, known)]
    torch.testing.assert_close(*slopes)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for a CPU with g++")
def test_it_is_compiled():
    torch.manual_seed(0)
    model = VAE(32, latent_dim=128, width=8, norm="group", network=Spatial())
    latent, slopes = torch.randn(4, 128), []
    for compiled in (False, True):
        if compiled:
            model.decoder.compile()
        model.zero_grad()
        model.decode(latent).square().mean().backward()
        slopes.append(model.decoder.enter.weight.grad.clone())
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-3, atol=1e-6)
