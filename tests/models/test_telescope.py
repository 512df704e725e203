"""The convolution with the PSF against SciPy's."""

import galsim
import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from galgen.models.telescope import convolve


@pytest.mark.parametrize("side", [15, 16, 41])
def test_it_is_the_sum_over_pixels(side):
    light = np.random.default_rng(0).random((20, 20))
    psf = galsim.Gaussian(sigma=1.2).drawImage(nx=side, ny=side, scale=1, method="no_pixel").array
    found = convolve(torch.from_numpy(light)[None, None], torch.from_numpy(psf)[None, None])
    half = side // 2
    expected = convolve2d(light, psf)[half : half + 20, half : half + 20]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)


def test_nothing_wraps_around_the_edges():
    light, psf = torch.zeros(1, 2, 32, 32), torch.ones(1, 2, 63, 63)
    light[0, 0, 0, 0] = light[0, 1, 31, 16] = 1
    narrow = torch.zeros(1, 2, 63, 63)
    narrow[..., 31, 21:42] = 1
    seen = convolve(light, narrow)
    assert seen[0, 0, 0, :11].numpy() == pytest.approx(1, abs=1e-5)
    assert seen[0, 0, 0, 11:].abs().max() < 1e-5
    assert seen[0, 0, 1:].abs().max() < 1e-5
    assert seen[0, 1, 31, 6:27].numpy() == pytest.approx(1, abs=1e-5)
    assert convolve(light, psf).numpy() == pytest.approx(1, abs=1e-5)


def test_it_passes_gradients():
    light = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    psf = torch.rand(2, 1, 5, 5)
    convolve(light, psf).sum().backward()
    middle = psf.double().sum(dim=(2, 3))
    torch.testing.assert_close(light.grad[:, :, 3, 3].float(), middle.float())
