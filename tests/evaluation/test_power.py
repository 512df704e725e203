"""Power spectra of images whose spectrum is known."""

import numpy as np
import pytest

from galgen.evaluation.power import power_spectrum


@pytest.mark.parametrize("shape", [(64, 64), (63, 63), (40, 64)])
def test_white_noise_has_its_variance_at_every_wavenumber(shape):
    noise = np.random.default_rng(0).normal(0, 3, (400, *shape))
    wavenumber, power = power_spectrum(noise)
    assert power.shape == (400, len(wavenumber))
    assert 0 < wavenumber[0] < wavenumber[-1] <= 0.5
    np.testing.assert_allclose(power.mean(axis=0), 9, rtol=0.1)


def test_a_wave_has_power_at_its_wavenumber_alone():
    y, x = np.mgrid[:64, :64]
    wavenumber, power = power_spectrum(np.cos(2 * np.pi * (3 * x + 4 * y) / 64)[None])
    assert np.argmax(power[0]) == np.argmin(np.abs(wavenumber - 5 / 64))
    assert np.sort(power[0])[-2] < 1e-9 * power.max()


def test_all_power_is_counted_once():
    image = np.random.default_rng(1).normal(size=(1, 31, 31))
    waves = np.abs(np.fft.fft2(image[0])) ** 2 / image[0].size
    radius = np.rint(31 * np.hypot(*np.meshgrid(np.fft.fftfreq(31), np.fft.fftfreq(31))))
    expected = [waves[radius == ring].mean() for ring in range(1, 15)]
    np.testing.assert_allclose(power_spectrum(image)[1][0, :14], expected)


def test_an_image_does_not_depend_on_its_batch():
    images = np.random.default_rng(2).normal(size=(70, 32, 32))
    together = power_spectrum(images)[1]
    alone = np.concatenate([power_spectrum(image[None])[1] for image in images])
    np.testing.assert_array_equal(together, alone)
