"""Morphology against closed forms, constructed images and statmorph."""

import galsim
import numpy as np
import pytest
from scipy.optimize import brentq

from galgen.evaluation.morphology.measure import Flag, count_flags, measure
from tests.conftest import SHARED

SCALE = 0.05
PSF = galsim.Gaussian(sigma=0.06)
PROFILES = {
    "gaussian": galsim.Gaussian(half_light_radius=0.35),
    "disc": galsim.Exponential(half_light_radius=0.35),
    "spheroid": galsim.Sersic(2.5, half_light_radius=0.35),
}


def draw(profile, size=121, x=0.0, y=0.0):
    """Draw a profile, blurred by the PSF, that lies x and y px off the stamp's centre."""
    profile = galsim.Convolve(profile, PSF).shift(x * SCALE, y * SCALE)
    return profile.drawImage(nx=size, ny=size, scale=SCALE, method="no_pixel").array


def noisy(image, snr, seed=0):
    """Add white noise to an image, that its brightest pixel stands out of by a factor."""
    sigma = image.max() / snr
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape), sigma**2


class Truth:
    """What follows from the light of a circular profile within radii."""

    def __init__(self, profile):
        size, scale = 4801, 0.0025
        image = galsim.Convolve(profile, PSF).drawImage(
            nx=size, ny=size, scale=scale, method="no_pixel"
        )
        self.radius = np.arange(scale, 6, scale / 10)
        row = image.array[size // 2, size // 2 :] / scale**2
        self.brightness = np.interp(self.radius, scale * np.arange(len(row)), row)
        rings = 2 * np.pi * self.radius * self.brightness * np.diff(self.radius)[0]
        self.light = np.cumsum(rings)

    def ratio(self, radius):
        mean = np.interp(radius, self.radius, self.light) / (np.pi * radius**2)
        return np.interp(radius, self.radius, self.brightness) / mean

    @property
    def petrosian_radius(self):
        return brentq(lambda radius: self.ratio(radius) - 0.2, 0.1, 4)

    def holding(self, share):
        total = np.interp(1.5 * self.petrosian_radius, self.radius, self.light)
        return np.interp(share * total, self.light, self.radius)

    @property
    def gini(self):
        area = np.linspace(0, self.petrosian_radius**2, 20_001)[1:]
        light = np.interp(np.sqrt(area), self.radius, self.brightness)[::-1]
        rank = np.arange(1, len(light) + 1) / len(light)
        return (2 * (rank * light).mean() - light.mean()) / light.mean()

    @property
    def m20(self):
        inside = self.radius < self.petrosian_radius
        light, radius = self.light[inside], self.radius[inside]
        moment = np.cumsum(np.diff(light, prepend=0) * radius**2)
        return np.log10(np.interp(0.2 * light[-1], light, moment) / moment[-1])


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("place", [(0, 0), (2.3, -1.6)])
def test_radii_of_circular_profiles(name, place):
    found = measure(draw(PROFILES[name], x=place[0], y=place[1])[None], SCALE)
    truth = Truth(PROFILES[name])
    assert found["flag"] == 0
    assert found["petrosian_radius"] == pytest.approx(truth.petrosian_radius, rel=0.02)
    assert found["half_light_radius"] == pytest.approx(truth.holding(0.5), rel=0.02)
    concentration = 5 * np.log10(truth.holding(0.8) / truth.holding(0.2))
    assert found["concentration"] == pytest.approx(concentration, abs=0.05)
    assert found["centroid_x"] == pytest.approx(60 + place[0], abs=0.02)
    assert found["centroid_y"] == pytest.approx(60 + place[1], abs=0.02)


@pytest.mark.parametrize("name", PROFILES)
def test_distributions_of_circular_profiles(name):
    found, truth = measure(draw(PROFILES[name])[None], SCALE), Truth(PROFILES[name])
    assert found["gini"] == pytest.approx(truth.gini, abs=0.015)
    assert found["m20"] == pytest.approx(truth.m20, abs=0.05)
    assert found["asymmetry"] == pytest.approx(0, abs=0.01)
    assert found["smoothness"] == pytest.approx(0, abs=0.03)


def test_gini_of_a_gaussian_in_closed_form():
    edge = brentq(lambda a: a / np.expm1(a) - 0.2, 1, 5)  # Petrosian radius^2 / 2 sigma^2
    expected = 1 / np.tanh(edge / 2) - 2 / edge
    assert Truth(PROFILES["gaussian"]).gini == pytest.approx(expected, abs=1e-3)
    found = measure(draw(PROFILES["gaussian"])[None], SCALE)
    assert found["gini"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("shear", [0, 0.1, 0.3])
def test_shape_of_a_sheared_gaussian(shear):
    galaxy = galsim.Gaussian(sigma=0.3).shear(g1=0.6 * shear, g2=0.8 * shear)
    image = galaxy.drawImage(nx=121, ny=121, scale=SCALE, method="no_pixel").array
    found = measure(image[None], SCALE)
    assert found["sigma"] == pytest.approx(0.3, rel=1e-3)
    assert found["ellipticity"] == pytest.approx(shear, abs=1e-3)
    assert found["rho4"] == pytest.approx(2, abs=1e-3)
    assert found["moment_ellipticity"] == pytest.approx(shear, rel=0.1, abs=0.01)
    assert 0.2 < found["moment_size"] < 0.3  # the light beyond the Petrosian radius is missing


def test_the_axes_of_a_disc_may_point_anywhere():
    disc = PROFILES["disc"].shear(q=0.4, beta=0 * galsim.degrees)
    turned = [draw(disc.rotate(angle * galsim.degrees)) for angle in (0, 45, 90, 120)]
    found = measure(np.array(turned), SCALE)
    for name in ("gini", "m20", "concentration", "half_light_radius", "moment_ellipticity"):
        assert np.ptp(found[name]) < 0.03 * np.abs(found[name]).mean(), name


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_clump_is_counted_on_both_sides_by_the_asymmetry(share):
    disc = galsim.Gaussian(sigma=0.3, flux=1 - share)
    clump = galsim.Gaussian(sigma=0.08, flux=share).shift(0.45, 0.2)
    found = measure(draw(disc + clump)[None], SCALE)
    assert found["asymmetry"] == pytest.approx(2 * share, rel=0.1)


def test_clumps_are_not_smooth():
    disc = galsim.Exponential(half_light_radius=0.5)
    clumps = [galsim.Gaussian(sigma=0.04, flux=0.02).shift(x, 0.3) for x in (-0.5, 0, 0.5)]
    found = measure(np.array([draw(disc), draw(galsim.Sum(disc, *clumps))]), SCALE)
    assert found["smoothness"][1] > found["smoothness"][0] + 0.015


@pytest.mark.parametrize("name", PROFILES)
def test_noise_changes_little(name):
    clean = draw(PROFILES[name].shear(g1=0.2))
    image, variance = noisy(clean, 100)
    found = measure(np.array([clean, image]), SCALE, 25.0, variance)
    assert found["snr"][1] > 5
    for key, tolerance in {
        "magnitude": 0.1,
        "half_light_radius": 0.05,
        "concentration": 0.15,
        "gini": 0.03,
        "m20": 0.1,
        "asymmetry": 0.06,
        "smoothness": 0.05,
        "sigma": 0.01,
        "ellipticity": 0.01,
    }.items():
        assert found[key][1] == pytest.approx(found[key][0], abs=tolerance), key


def test_what_is_unknown_is_taken_from_the_edge():
    image, variance = noisy(draw(PROFILES["disc"]), 50)
    given = measure(image[None], SCALE, noise_variance=variance, background=0)
    guessed = measure(image[None] + 7 * image.max(), SCALE)
    assert np.isnan(guessed["snr"])
    for name in ("flux", "gini", "asymmetry", "half_light_radius", "sigma"):
        assert guessed[name] == pytest.approx(given[name], rel=0.1), name


def test_the_floor_of_a_sigmoid_is_background():
    image = draw(PROFILES["spheroid"], 64)
    image /= image.max()
    floored = 0.002 + 0.998 * image
    found = measure(np.array([image, floored]), SCALE)
    kept = measure(floored[None], SCALE, background=0)
    for name in ("half_light_radius", "gini", "concentration", "sigma"):
        assert found[name][1] == pytest.approx(found[name][0], rel=0.01), name
    assert kept["half_light_radius"] > 1.03 * found["half_light_radius"][0]


def test_units():
    image = draw(PROFILES["disc"].shear(g1=0.1))[None]
    one, other = measure(image, 1, 25), measure(1024 * image, 0.1, 20)
    assert other["flux"] == pytest.approx(1024 * one["flux"])
    assert other["magnitude"] == pytest.approx(one["magnitude"] - 5 - 2.5 * np.log10(1024))
    assert "magnitude" not in measure(image, 1)
    for name in ("half_light_radius", "petrosian_radius", "moment_size", "sigma"):
        assert other[name] == pytest.approx(0.1 * one[name], rel=1e-5), name
    for name in ("gini", "m20", "asymmetry", "concentration", "ellipticity", "rho4"):
        assert other[name] == pytest.approx(one[name], rel=1e-5), name


def causes(image, **arguments):
    """Return the names of the flags of one image, and what was measured."""
    found = measure(image[None], SCALE, 25.0, **arguments)
    return {name for name, n in count_flags(found["flag"]).items() if n}, found


def test_every_cause_of_failure_has_a_flag():
    good = draw(PROFILES["disc"])
    assert causes(good)[0] == set()
    for bad in (np.nan, np.inf):
        broken = good.copy()
        broken[3, 4] = bad
        flags, found = causes(broken)
        assert flags == {"not_finite"}
        assert all(np.isnan(found[name][0]) for name in found if name != "flag")
    rng = np.random.default_rng(0)
    assert "faint" in causes(rng.normal(0, 1, (64, 64)), noise_variance=4)[0]
    assert causes(np.zeros((64, 64)))[0] == {"faint", "moments"}
    assert "edge" in causes(draw(PROFILES["disc"], 41))[0]
    assert "edge" in causes(draw(PROFILES["disc"], x=-52))[0] | causes(good[:, 45:])[0]
    assert causes(draw(galsim.Gaussian(sigma=0.05)))[0] == {"small"}


def nasty(height, width):
    """Draw stamps that have hardly a galaxy, or one at an edge, or too much light."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    pixel, row, broken = np.zeros((3, height, width))
    pixel[height // 2, width // 2] = row[height // 2] = broken[:] = 1
    broken[0, 0] = np.nan
    places = [(0.5, 0.5), (0, 0), (1, 0.5), (0.3, 0.7)]
    blobs = [
        np.exp(-0.5 * ((y - up * height) ** 2 + (x - right * width) ** 2) / sigma**2)
        for up, right in places
        for sigma in (0.4, 2, width)
    ]
    noise = [rng.normal(size=(height, width)), rng.integers(0, 2, (height, width))]
    extreme = [1e38 * blobs[1], 1e-38 * blobs[1], -blobs[1], 0 * pixel, x / width]
    return np.array([pixel, -pixel, row, broken, *blobs, *noise, *extreme], np.float32)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (8, 8), (20, 31), (40, 3), (64, 64)])
@pytest.mark.parametrize("background", [None, 0, -0.1, np.inf])
def test_no_stamp_is_too_nasty(shape, background):
    images = nasty(*shape)
    found = measure(images, SCALE, background=background)
    assert found["flag"][3] == Flag.NOT_FINITE
    measured = found["flag"] & (Flag.NOT_FINITE | Flag.FAINT) == 0
    assert np.isfinite(found["centroid_y"]).sum() == measured.sum()
    inside = (found["centroid_y"] >= 0) & (found["centroid_y"] < shape[0])
    np.testing.assert_array_equal(inside, measured)


def test_a_galaxy_in_a_hole_has_no_flux():
    radius = np.hypot(*np.mgrid[-60:61, -60:61])
    hole = np.exp(-0.5 * (radius - 5.5) ** 2)
    flags, found = causes(2 * np.exp(-(radius**2) / 8) - 2 * hole, background=0)
    assert "flux" in flags
    assert found["flux"] < 0
    assert np.isnan(found["magnitude"])


def test_neighbours_are_left_out():
    alone = draw(PROFILES["disc"])
    both = alone + draw(PROFILES["disc"], x=45, y=40)
    found = measure(np.array([alone, both]), SCALE)
    for name in ("flux", "gini", "half_light_radius"):
        assert found[name][1] == pytest.approx(found[name][0], rel=0.01), name


def some_galaxies(n):
    """Draw noisy galaxies of many sizes, shapes and brightnesses."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(n):
        galaxy = galsim.Exponential(half_light_radius=rng.uniform(0.15, 0.6))
        stamp = draw(galaxy.shear(g1=rng.uniform(-0.4, 0.4)), 81, *rng.uniform(-3, 3, 2))
        images.append(noisy(stamp, 10 ** rng.uniform(0, 2.5), number)[0] * 10 ** rng.uniform(0, 3))
    images[5][:] = 0
    return np.array(images, np.float32)


def test_a_galaxy_depends_neither_on_its_batch_nor_on_the_processes(monkeypatch):
    images = some_galaxies(40)
    variance = np.linspace(0.5, 1, 40)
    together = measure(images, SCALE, 25.0, variance)
    alone = [
        measure(image[None], SCALE, 25.0, v) for image, v in zip(images, variance, strict=True)
    ]
    monkeypatch.setattr("galgen.evaluation.morphology.measure.WORTHWHILE", 1)
    monkeypatch.setattr("galgen.evaluation.morphology.measure.BLOCK", 7)
    spread = measure(images, SCALE, 25.0, variance, processes=2)
    for name, column in together.items():
        assert column.shape == (40,)
        np.testing.assert_array_equal(column, np.concatenate([one[name] for one in alone]))
        np.testing.assert_array_equal(column, spread[name])
    assert together["flag"][5] == Flag.FAINT | Flag.MOMENTS


def test_no_galaxies_and_no_stack():
    assert measure(np.empty((0, 32, 32)), SCALE)["gini"].shape == (0,)
    assert "sigma" not in measure(np.empty((0, 32, 32)), SCALE, hsm=False)
    with pytest.raises(ValueError, match="images must be"):
        measure(np.zeros((32, 32)), SCALE)
    with pytest.raises(ValueError, match="pixel_scale"):
        measure(np.zeros((1, 32, 32)), 0)


SAME = {
    "gini": "gini",
    "m20": "m20",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "half_light_radius": "r50",
    "snr": "sn_per_pixel",
}
"""Names here and in statmorph."""
SAME_WITHIN = {
    "gini": 0.01,
    "m20": 0.02,
    "concentration": 0.03,
    "asymmetry": 0.06,  # its sky is 32 x 32 px, and it misses the least minimum of some
    "smoothness": 0.02,
    "half_light_radius": 0.1,
    "snr": 0.2,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real galaxies are absent")
def test_real_galaxies_as_statmorph_measures_them():
    statmorph = pytest.importorskip("statmorph")
    from galgen.evaluation.morphology.segmentation import detect

    folder = SHARED / "data" / "cosmos_f814w_100"
    release = galsim.RealGalaxyCatalog(
        str(next(folder.glob("*_catalog_26_extension_example.fits")))
    )
    differences = []
    for row in np.argsort(release.mag)[:10].tolist():
        image, variance = release.getGalImage(row).array, release.variance[row]
        found = measure(image[None], 1, noise_variance=variance, background=0, hsm=False)
        segments, own = detect(image, np.sqrt(variance))
        galaxy = np.where(segments == own, 1, np.where(segments > 0, segments + 1, 0))
        sigma = np.full(image.shape, np.sqrt(variance))
        oracle = statmorph.SourceMorphology(image, galaxy, 1, weightmap=sigma)
        differences.append({name: found[name][0] - oracle[theirs] for name, theirs in SAME.items()})
    for name, tolerance in SAME_WITHIN.items():
        typical = np.median(np.abs([difference[name] for difference in differences]))
        assert typical < tolerance, name
