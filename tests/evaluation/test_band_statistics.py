"""Colours of images whose colours are known, and what a lacking band leaves."""

import numpy as np
import pytest

from galgen.evaluation.band_statistics import (
    APERTURE,
    all_names,
    asinh_magnitude,
    colour_names,
    gradient_names,
    measure_bands,
)
from galgen.evaluation.morphology.measure import measure
from tests.conftest import discs

BANDS, POINTS = ["g", "r", "i"], [25.0, 25.5, 26.0]
SCALE = 0.05


def gaussians(sigmas, fluxes, size=96):
    """Round Gaussians, one in each band, (1, B, size, size)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    square = x**2 + y**2
    images = [
        flux * np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        for sigma, flux in zip(sigmas, fluxes, strict=True)
    ]
    return np.array(images, np.float32)[None]


def measured(images, bands=BANDS, points=POINTS, variance=None, has_band=None, reference=1):
    """Measure images in each band, the second being the reference."""
    known = None if variance is None else variance[:, reference]
    shapes = measure(images[:, reference], SCALE, points[reference], known, hsm=False)
    has_band = np.ones(images.shape[:2], bool) if has_band is None else has_band
    return shapes, measure_bands(images, bands, has_band, shapes, SCALE, points, variance)


def test_colours_are_known_ones_without_noise():
    images = discs(5, 64)[:, None] * np.array([1, 3, 0.5], "f4")[:, None, None]
    shapes, found = measured(images, variance=np.full((5, 3), 1e-12))
    assert set(found) == {
        *("colour_g_r", "colour_r_i", "colour_gradient_g_r", "colour_gradient_r_i"),
        *("aperture_magnitude_g", "aperture_magnitude_r", "aperture_magnitude_i"),
        *("half_light_radius_g", "half_light_radius_r", "half_light_radius_i"),
    }
    assert set(found) == set(all_names(BANDS))
    np.testing.assert_allclose(found["colour_g_r"], 2.5 * np.log10(3) - 0.5, atol=1e-4)
    np.testing.assert_allclose(found["colour_r_i"], -2.5 * np.log10(6) - 0.5, atol=1e-4)
    np.testing.assert_allclose(found["colour_gradient_g_r"], 0, atol=1e-4)
    radii = [found[f"half_light_radius_{band}"] for band in BANDS]
    np.testing.assert_allclose(radii[0], radii[1], rtol=1e-4)
    np.testing.assert_allclose(radii[1], shapes["half_light_radius"], rtol=0.03)


def test_colours_of_noisy_images_scatter_by_their_noise():
    fluxes, sigma = np.array([300.0, 600, 1200]), 3.0
    clean = np.repeat(gaussians([sigma] * 3, fluxes, 48), 200, axis=0)
    noise = np.random.default_rng(0).normal(0, 1, clean.shape).astype("f4")
    _, found = measured(clean + noise, variance=np.ones((200, 3)))
    radius = APERTURE * sigma * np.sqrt(2 * np.log(2))
    light = fluxes * (1 - np.exp(-0.5 * (radius / sigma) ** 2))
    error = 2.5 / np.log(10) * np.sqrt(np.pi) * radius / light  # of a magnitude
    for number, name in enumerate(colour_names(BANDS)):
        expected = POINTS[number] - POINTS[number + 1] + 2.5 * np.log10(2)
        scatter = np.hypot(*error[number : number + 2])
        assert found[name].mean() == pytest.approx(expected, abs=0.02)
        assert found[name].std() == pytest.approx(scatter, rel=0.25)


def test_a_gradient_has_its_sign_and_value():
    sigmas = np.array([6.0, 5.0, 4.0])  # towards the red ever more compact: red in the middle
    shapes, found = measured(gaussians(sigmas, [100, 100, 100]), variance=np.full((1, 3), 1e-12))
    radius = shapes["half_light_radius"][0] / SCALE
    assert radius == pytest.approx(5 * np.sqrt(2 * np.log(2)), rel=0.02)
    inside = 1 - np.exp(-0.5 * (radius / sigmas) ** 2)
    outside = np.exp(-0.5 * (radius / sigmas) ** 2) - np.exp(-0.5 * (2 * radius / sigmas) ** 2)
    expected = -np.diff(-2.5 * np.log10(inside)) + np.diff(-2.5 * np.log10(outside))
    for name, value in zip(gradient_names(BANDS), expected, strict=True):
        assert value > 0.3
        assert found[name][0] == pytest.approx(value, abs=0.02)
    sizes = [found[f"half_light_radius_{band}"][0] for band in BANDS]
    np.testing.assert_allclose(sizes, sigmas * np.sqrt(2 * np.log(2)) * SCALE, rtol=0.03)


def test_asinh_magnitudes_are_the_usual_ones_of_bright_light_and_finite_of_none():
    assert asinh_magnitude(100.0, np.array(0.1)) == pytest.approx(-5, abs=1e-5)
    assert asinh_magnitude(100.0, np.array(0.0)) == pytest.approx(-5)
    assert asinh_magnitude(0.0, np.array(0.01)) == pytest.approx(5)
    assert asinh_magnitude(-1.0, np.array(1.0)) > asinh_magnitude(0.0, np.array(1.0)) == 0
    assert np.isnan(asinh_magnitude(-1.0, np.array(0.0)))


def test_an_undetected_band_has_a_colour_and_no_size():
    images = gaussians([4, 4, 4], [0, 1000, 1000], 64)
    images += np.random.default_rng(0).normal(0, 1, images.shape).astype("f4")
    _, found = measured(images, variance=np.ones((1, 3)))
    assert np.isfinite(found["colour_g_r"][0])
    assert found["colour_g_r"][0] > 2
    assert np.isnan(found["half_light_radius_g"][0])
    assert found["colour_r_i"][0] == pytest.approx(-0.5, abs=0.2)


def test_a_galaxy_that_lacks_a_band_lacks_its_statistics_alone():
    images = np.repeat(gaussians([4, 4, 4], [100, 100, 100], 64), 2, axis=0)
    has_band = np.array([[True, True, True], [True, True, False]])
    images[1, 2] = 0
    variance = np.where(has_band, 1e-6, np.nan)
    _, found = measured(images, variance=variance, has_band=has_band)
    lacking = {name for name, values in found.items() if np.isnan(values[1])}
    assert lacking == {
        *("colour_r_i", "colour_gradient_r_i", "aperture_magnitude_i", "half_light_radius_i")
    }
    assert all(np.isfinite(values[0]) for values in found.values())


def test_noise_and_zero_points_may_be_unknown():
    images = gaussians([3, 3, 3], [1000, 2000, 1000], 64)
    images += np.random.default_rng(0).normal(0, 1, images.shape).astype("f4")
    _, found = measured(images, points=[None, None, None])
    _, known = measured(images, variance=np.ones((1, 3)), points=[0.0, 0.0, 0.0])
    assert found["colour_g_r"][0] == pytest.approx(2.5 * np.log10(2), abs=0.15)
    assert found["colour_g_r"][0] == pytest.approx(known["colour_g_r"][0], abs=0.01)


def test_what_is_not_found_in_the_reference_band_has_no_colours():
    images = gaussians([4, 4, 4], [1000, 0, 1000], 64)
    images[0, 1] = 0
    _, found = measured(images, variance=np.ones((1, 3)))
    assert all(np.isnan(values).all() for values in found.values())
