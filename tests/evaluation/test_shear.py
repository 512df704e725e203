"""The response of shapes to shear."""

import galsim
import numpy as np
import pytest

from galgen.evaluation.shear import (
    INSTRUMENTS,
    LIMIT,
    Instrument,
    compare_responses,
    shear_response,
)

SCALE = 0.05


def light(sigmas, g1s) -> np.ndarray:
    """Draw Gaussians of flux 1000."""
    images = []
    for sigma, g1 in zip(sigmas, g1s, strict=True):
        galaxy = galsim.Gaussian(sigma=sigma, flux=1000).shear(g1=g1)
        images.append(galaxy.drawImage(nx=64, ny=64, scale=SCALE, method="no_pixel").array)
    return np.stack(images)


def test_the_response_of_a_round_gaussian_in_closed_form():
    instrument = Instrument(galsim.Gaussian(sigma=0.3), 0.7, 0.05)
    [[without], [with_noise]] = shear_response(light([0.4], [0.0]), SCALE, instrument, [0.0, 0.05])
    # Distortion 2 g of the galaxy, diluted by the PSF and the pixels, whose variance is w^2 / 12.
    variance = 0.3**2 + 0.05**2 / 12
    expected = pytest.approx(2 * 0.4**2 / (0.4**2 + variance), rel=0.01)
    assert (without, with_noise) == (expected, expected)
    assert without != with_noise


def test_a_difference_is_told_from_its_error():
    rng = np.random.default_rng(0)
    samples = [
        light(rng.uniform(least, 1.2 * least, 80), rng.normal(0, 0.15, 80).clip(-0.5, 0.5))
        for least in (0.3, 0.3, 0.2)
    ]
    others = {"alike": samples[1], "unlike": samples[2]}
    found = compare_responses(samples[0], others, SCALE, LIMIT + 5)
    alike, unlike = found["alike"], found["unlike"]
    assert alike.keys() == {name + end for name in INSTRUMENTS for end in ("", " with noise")}
    for name, found in alike.items():
        assert abs(found["difference"]) < 3 * found["error"], name
        assert 0.3 < found["floor"] / found["error"] < 1.5  # 0.8 times it in the mean
    assert abs(unlike["ground"]["difference"]) > 5 * unlike["ground"]["error"]


def test_too_few_bright_galaxies_are_not_compared():
    few = light([0.2] * 30, [0.0] * 30)
    assert compare_responses(few, {"few": few}, SCALE, LIMIT + 5) == {"few": {}}
