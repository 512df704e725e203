"""The parametric control: profiles of the survey's own parameters."""

import galsim
import numpy as np
import pytest

from galgen.evaluation.sersic import draw, sersic_columns

TABLE = {
    "sersic_index": np.array([1.02, 4.0]),
    "flux_radius": np.array([0.2, 0.3]),
    "axis_ratio": np.array([0.5, 0.8]),
    "position_angle": np.array([0.0, 90.0]),
    "flux": np.array([10.0, 20.0]),
}


@pytest.fixture
def psfs():
    psf = galsim.Gaussian(sigma=0.05).drawImage(nx=31, ny=31, scale=0.03, method="no_pixel").array
    return np.stack([psf / psf.sum()] * 2)


def test_profiles_have_their_flux_size_and_direction(psfs):
    images = draw(sersic_columns(TABLE), psfs, 96, 0.03)
    assert images[0].sum() == pytest.approx(10, rel=0.01)
    assert images[1].sum() == pytest.approx(20, rel=0.12)  # n = 4 has wide wings
    y, x = np.mgrid[:96, :96] - 47.5
    assert (images[0] * x**2).sum() > 2 * (images[0] * y**2).sum()
    assert (images[1] * y**2).sum() > 1.2 * (images[1] * x**2).sum()
    direct = galsim.Convolve(
        galsim.Sersic(1.0, half_light_radius=0.2, flux=10).shear(q=0.5, beta=0 * galsim.degrees),
        galsim.Gaussian(sigma=0.05),
    )
    expected = direct.drawImage(nx=96, ny=96, scale=0.03, method="no_pixel").array
    np.testing.assert_allclose(images[0], expected, atol=2e-3 * expected.max())


def test_a_major_axis_is_circularised():
    table = {**TABLE, "sersic_radius": TABLE["flux_radius"]}
    del table["flux_radius"]
    expected = [0.2 * 0.5**0.5, 0.3 * 0.8**0.5]
    np.testing.assert_allclose(sersic_columns(table)["radius"], expected)


@pytest.mark.parametrize("name", ["sersic_index", "flux_radius", "axis_ratio", "flux"])
def test_a_survey_without_a_parameter_has_no_profiles(name):
    assert sersic_columns({key: value for key, value in TABLE.items() if key != name}) is None
