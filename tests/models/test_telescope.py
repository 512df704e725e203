"""The convolution with the PSF against SciPy's."""

import galsim
import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from galgen.data.batch import Batch
from galgen.data.psfs import read_psfs
from galgen.models.telescope import convolve, noise_and_width, on_survey_pixels


@pytest.mark.parametrize("side", [15, 16, 41])
def test_it_is_the_sum_over_pixels_with_the_light_at_the_edges_going_on(side):
    light = np.random.default_rng(0).random((20, 24))
    psf = galsim.Gaussian(sigma=1.2).drawImage(nx=side, ny=11, scale=1, method="no_pixel").array
    psf[2, 3] += 0.1  # not symmetric
    found = convolve(torch.from_numpy(light)[None, None], torch.from_numpy(psf)[None, None])
    around = [(n - 1 - n // 2, n // 2) for n in psf.shape]
    expected = convolve2d(np.pad(light, around, mode="edge"), psf, mode="valid")
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)


def test_a_sky_of_one_level_stays_one_and_nothing_wraps_around():
    psf = torch.rand(1, 2, 63, 63)
    psf /= psf.sum(dim=(2, 3), keepdim=True)
    level = torch.full((3, 2, 32, 32), 5.0)
    assert convolve(level, psf).numpy() == pytest.approx(5, abs=1e-4)
    light = torch.zeros(1, 2, 32, 32)
    light[0, 0, 5, 5] = 1
    narrow = torch.zeros(1, 2, 63, 63)
    narrow[..., 31, 21:42] = 1
    seen = convolve(light, narrow)
    assert seen[0, 0, 5, :16].numpy() == pytest.approx(1, abs=1e-5)
    seen[0, 0, 5, :16] = 0
    assert seen.abs().max() < 1e-5


@pytest.mark.parametrize("side", [31, 32])
@pytest.mark.parametrize("oversampling", [2, 3])
def test_finer_light_is_seen_as_galsim_draws_it(oversampling, side):
    """Off the centre, not round, with a PSF that is neither."""
    scale, offset = 0.03, (0.5 * (side % 2 == 0),) * 2
    galaxy = galsim.Gaussian(sigma=0.09, flux=7).shear(g1=0.2, g2=0.1).shift(0.02, -0.045)
    psf = galsim.Convolve(galsim.Gaussian(sigma=0.055).shear(g1=0.1), galsim.Pixel(scale))
    light = draw(galaxy, 64 * oversampling, scale / oversampling)
    found = convolve(light, draw(psf, side, scale, offset), oversampling)
    expected = draw(galsim.Convolve(galaxy, psf), 64, scale)
    assert (found - expected).abs().max() < 2e-6 * expected.max()
    again = on_survey_pixels(light, oversampling)
    pixels = draw(galsim.Convolve(galaxy, galsim.Pixel(scale)), 64, scale)
    assert (again - pixels).abs().max() < 0.01 * pixels.max()
    assert again.sum() == pytest.approx(light.sum())


def draw(thing, side, scale, offset=(0, 0)):
    image = thing.drawImage(nx=side, ny=side, scale=scale, method="no_pixel", offset=offset)
    return torch.from_numpy(image.array)[None, None]


def test_it_passes_gradients():
    light = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    psf = torch.rand(2, 1, 5, 5)
    convolve(light, psf).sum().backward()
    middle = psf.double().sum(dim=(2, 3))
    torch.testing.assert_close(light.grad[:, :, 3, 3].float(), middle.float())


def test_noise_and_width_of_gaussian_psfs():
    """The second galaxy lacks a band, whose PSF is 0."""
    psfs = [galsim.Gaussian(sigma=s).drawImage(nx=31, ny=31, scale=1).array for s in (1.5, 3.0)]
    psf = torch.from_numpy(np.stack([psfs, psfs]))
    psf[1, 1] = 0
    variance = torch.tensor([[0.25, 1.0], [4.0, 0.0]])
    batch = Batch(torch.zeros(2, 2, 8, 8), torch.arange(2), noise_variance=variance, psf=psf)
    noise, width = noise_and_width(batch, 2).chunk(2, dim=1)
    assert noise.exp()[[0, 0, 1], [0, 1, 0]].tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert width.exp()[[0, 0, 1], [0, 1, 0]].tolist() == pytest.approx([1.5, 3.0, 1.5], rel=0.02)
    assert noise[1, 1].isnan()
    assert width[1, 1].isnan()
    unknown = Batch(torch.zeros(2, 2, 8, 8), torch.arange(2))
    assert noise_and_width(unknown, 2).isnan().all()


def test_the_noise_of_a_band_that_a_galaxy_lacks_is_unknown():
    weight = torch.ones(2, 2, 8, 8)
    weight[1, 0], weight[0, 0, 0, 0] = 0, 0
    batch = Batch(torch.zeros(2, 2, 8, 8), torch.arange(2), weight=weight)
    batch.noise_variance = torch.full((2, 2), 0.25)
    noise = noise_and_width(batch, 2)[:, :2]
    assert noise.exp().isnan().tolist() == [[False, False], [True, False]]
    assert noise[0].exp().tolist() == pytest.approx([0.5, 0.5])


class File(list):
    """Stands for a stamp file that has one PSF."""

    def read(self, rows, size, name):
        return self[0]


def test_a_psf_of_even_size_is_flipped_about_its_centre():
    rng = np.random.default_rng(0)
    psf = rng.random((1, 1, 6, 4)).astype(np.float32)
    psf /= psf.sum()
    stamps = File([psf])
    stamps.columns, stamps.bands, stamps.stacks = {}, ["a"], {"psf": psf.shape}
    read = torch.from_numpy(read_psfs(stamps, np.array([0])))
    light = torch.from_numpy(rng.random((1, 1, 16, 16)).astype(np.float32))
    seen = convolve(light, read)
    torch.testing.assert_close(seen, convolve(light, torch.from_numpy(psf)))
    for axis in (2, 3):
        turned = convolve(light.flip(axis), read.flip(axis))
        torch.testing.assert_close(turned.flip(axis), seen)
