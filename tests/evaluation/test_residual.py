"""What is left of a galaxy without its smooth profile."""

import galsim
import numpy as np
import pytest

from galgen.evaluation.compared import CLEAR, Compared
from galgen.evaluation.morphology.measure import measure
from galgen.evaluation.observation import STRUCTURE
from galgen.evaluation.sample import measured

SIDE, SCALE = 64, 0.05
PSF = galsim.Gaussian(fwhm=0.12)
SPOTS = [(0.3, 0.2), (-0.35, 0.1), (0.1, -0.4)]
"""Places of clumps, arcsec."""


def galaxy(share: float = 0.0, noise: float = 0.0, seed: int = 0, flux: float = 1000.0):
    """Draw an inclined disc with a share of its light in three clumps."""
    disc = galsim.Exponential(half_light_radius=0.35).shear(q=0.6, beta=30 * galsim.degrees)
    light = disc.withFlux(flux * (1 - share))
    if share:
        spots = [galsim.Gaussian(sigma=0.01).shift(*place) for place in SPOTS]
        light += galsim.Sum([spot.withFlux(flux * share / len(SPOTS)) for spot in spots])
    drawn = galsim.Convolve(light, PSF).drawImage(nx=SIDE, ny=SIDE, scale=SCALE, dtype=float)
    return drawn.array + noise * np.random.default_rng(seed).standard_normal((SIDE, SIDE))


def test_a_smooth_inclined_disc_leaves_nothing():
    found = measure(galaxy()[None], SCALE)
    assert abs(found["residual_flux"][0]) < 0.03
    assert abs(found["residual_power"][0]) < 0.002
    assert found["clumps"][0] == 0


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_clumps_leave_their_light_and_are_counted(share):
    found = measure(galaxy(share)[None], SCALE)
    # The mean profile takes a part of the clumps' light, and what it takes is missing elsewhere.
    assert share < found["residual_flux"][0] < 2 * share
    assert found["residual_power"][0] > 0.05 * share
    assert found["clumps"][0] == len(SPOTS)


def test_noise_counts_neither_as_residual_nor_as_clumps():
    noisy = np.stack([galaxy(noise=0.5, seed=seed) for seed in range(40)])
    found = measure(noisy, SCALE, noise_variance=0.25)
    assert found["residual_flux"].mean() == pytest.approx(0, abs=0.02)
    assert found["residual_power"].mean() == pytest.approx(0, abs=0.01)
    assert found["clumps"].mean() < 0.1


def sample(name: str, most: float, seed: int):
    """Measure 200 galaxies of all fluxes, with 0 to `most` of their light in clumps."""
    rng = np.random.default_rng(seed)
    drawn = zip(rng.uniform(0, most, 200), rng.integers(2**31, size=200), strict=True)
    images = [galaxy(share, 0.5, one, rng.uniform(30, 2000)) for share, one in drawn]
    return measured(name, np.stack(images), SCALE, noise_variance=np.full(200, 0.25))


def test_the_score_of_structure_is_of_galaxies_that_stand_out():
    real, same, smooth = sample("real", 0.3, 0), sample("same", 0.3, 1), sample("smooth", 0, 2)
    assert 0.1 < np.mean(real.columns["snr"] < CLEAR) < 0.9
    alike, unlike, nothing = (
        Compared(one, other, STRUCTURE, STRUCTURE, structure=STRUCTURE)
        for one, other in (
            (real, same),
            (real, smooth),
            (real[real.columns["snr"] < CLEAR], same),
        )
    )
    assert alike.mean_of_structure("value") < 1.6 * alike.mean_of_structure("floor")
    assert unlike.mean_of_structure("value") > 5 * unlike.mean_of_structure("floor")
    assert np.isnan(nothing.mean_of_structure("value"))
