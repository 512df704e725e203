"""The simulated survey: reproducible, and with the units it claims."""

import json

import galsim
import h5py
import numpy as np
import pytest
from astropy.cosmology import Planck18
from scipy.signal import fftconvolve

from galgen.config.targets import instantiate
from galgen.data.bands import BAND_SETS
from galgen.data.preparation import prepare
from galgen.data.stamp_file import StampFile
from galgen.data.surveys.simulated import colours, telescopes
from galgen.data.surveys.simulated.galaxy import galaxy_points
from galgen.data.surveys.simulated.population import (
    distance_modulus,
    draw_parameters,
    kpc_per_arcsec,
)
from galgen.data.surveys.simulated.rendering import through_psf
from galgen.data.surveys.simulated.simulated_source import SimulatedSource
from galgen.data.surveys.simulated.structure import SMOOTH, draw_structure

SCALE = 0.03
"""arcsec"""


def draw(numbers, image_size, seed, bands="F814W", **arguments):
    """Draw some galaxies; images and columns lose the axis of a single band."""
    block, left_out = SimulatedSource(1, image_size, bands, seed, **arguments).draw(numbers)
    assert not left_out
    if bands == "F814W":
        for name in block:
            block[name] = block[name][:, 0] if block[name].ndim in (2, 4) else block[name]
    return block


def test_the_same_stamps_at_any_number_of_processes_and_shards(tmp_path):
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    assert prepare(SimulatedSource(70, 32, "F814W", seed=1, processes=1, shards=3), one)
    assert prepare(SimulatedSource(70, 32, "F814W", seed=1, processes=2, shards=5), two)
    images = [StampFile(path).read(slice(0, 70), 32)[:, 0] for path in (one, two)]
    np.testing.assert_array_equal(*images)
    direct = draw(range(66, 70), 32, seed=1)
    np.testing.assert_array_equal(images[0][66:], direct["image"])
    stamps = StampFile(one)
    np.testing.assert_array_equal(stamps.columns["galaxy_id"], np.arange(70))
    np.testing.assert_array_equal(stamps.columns["redshift"][66:], direct["redshift"])
    assert stamps.attrs["pixel_scale"] == 0.03
    assert not np.array_equal(draw(range(66, 70), 32, seed=2)["image"], direct["image"])


def test_a_drawn_survey_is_reused_also_one_with_more_than_is_requested(tmp_path):
    path = tmp_path / "s.h5"
    prepare(SimulatedSource(3, 32, "F814W", noiseless=True, processes=1), path)
    before = path.stat().st_mtime_ns
    assert prepare(SimulatedSource(3, 32, "F814W", processes=1), path, overwrite=True)
    assert path.stat().st_mtime_ns == before


def test_interrupted_companions_are_not_mixed_with_plain_stamps(tmp_path):
    path = tmp_path / "s.h5"
    assert not prepare(SimulatedSource(4, 32, "F814W", noiseless=True, shards=2, shard=0), path)
    assert prepare(SimulatedSource(4, 32, "F814W", shards=2), path, overwrite=True)
    assert list(StampFile(path).stacks) == ["image", "psf"]


def test_surveys_with_and_without_structure_have_files_of_their_own(composed):
    names = {
        instantiate(composed("data=simulated", f"data.structure={structure}").data).file
        for structure in ("true", "false")
    }
    assert len(names) == 2


@pytest.mark.parametrize("damage", ["truncated", "truncated shard", "other recipe", "other size"])
def test_what_is_not_the_survey_is_drawn_again(tmp_path, damage):
    path = tmp_path / "s.h5"
    size = 40 if damage == "other size" else 32
    prepare(SimulatedSource(3, size, "F814W", seed=1, processes=1, shards=2), path)
    if damage.startswith("truncated"):
        victim = path if damage == "truncated" else tmp_path / "s.h5.shards" / "00001.h5"
        victim.write_bytes(victim.read_bytes()[:3000])
    if damage == "other recipe":
        for file in (path, *(tmp_path / "s.h5.shards").glob("*.h5")):
            with h5py.File(file, "a") as opened:
                opened.attrs["recipe"] = "galgen simulated survey, recipe 1"
    prepare(SimulatedSource(3, 32, "F814W", seed=1, processes=1, shards=2), path, overwrite=True)
    np.testing.assert_array_equal(
        StampFile(path).read(slice(0, 3), 32)[:, 0], draw(range(3), 32, seed=1)["image"]
    )


def test_companions_are_the_stamp_without_noise_and_without_the_psf():
    block = draw(range(6), 158, seed=0, noiseless=True)
    noise = block["image"] - block["noiseless"]
    assert noise.std() == pytest.approx(0.00316, rel=0.03)
    assert np.abs(noise.mean()) < 0.0003
    psfs = SimulatedSource(1, 158, "F814W").tables()["psf"][:, 0]
    for number in range(6):
        free, seen = block["psf_free"][number], block["noiseless"][number]
        assert free.sum() == pytest.approx(seen.sum(), rel=0.02)
        again = fftconvolve(free, psfs[block["psf_index"][number]], "same")
        assert np.corrcoef(again.ravel(), seen.ravel())[0, 1] > 0.997
        assert free.max() > 1.2 * seen.max()
    plain = draw(range(6), 158, seed=0)
    np.testing.assert_array_equal(plain["image"], block["image"])


def test_galaxies_without_structure():
    smooth = draw(range(20), 32, seed=0, structure=False)
    for name, value in SMOOTH.items():
        assert (smooth[name] == value).all()
    structured = draw(range(20), 32, seed=0)
    np.testing.assert_array_equal(smooth["flux_radius"], structured["flux_radius"])
    late = structured["early_type"] == 0
    assert (np.abs(structured["image"] - smooth["image"]).max((1, 2))[late] > 1e-6).all()


def test_stamps_hold_the_flux_of_their_magnitude():
    truth = draw(range(60), 158, seed=0)
    images = truth["image"]
    bright = truth["magnitude"] < 23.5
    assert bright.sum() > 5
    measured = 25.94 - 2.5 * np.log10(images[bright].sum(axis=(1, 2)))
    # The noise of a whole stamp's flux is 0.0078 * 158 = 1.2 counts/s, a mag-23.5 galaxy has 9.5.
    assert np.abs(np.median(measured - truth["magnitude"][bright])) < 0.1


def test_the_noise_is_that_of_cosmos():
    truth = draw(range(10), 158, seed=0, noiseless=True)
    noise = truth["image"] - truth["noiseless"]
    np.testing.assert_allclose(noise.std(), 0.00316, rtol=0.05)
    neighbours = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / noise.var()
    assert neighbours == pytest.approx(0.48, abs=0.06)
    np.testing.assert_allclose(truth["noise_variance"], galsim.getCOSMOSNoise().getVariance())
    # Censai's level, from GalSim's power spectrum: 0.0078 counts/s (measured with GalSim 2.8.5).
    np.testing.assert_allclose(truth["background"], 0.0078, rtol=0.01)


def test_parameters_follow_the_recipe():
    rng = np.random.default_rng(0)
    rows = [draw_parameters(rng) for _ in range(4000)]
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    magnitude = column["magnitude"]
    assert magnitude.max() <= 25.2
    # A 10^(0.32 m) law: the counts fall by 10^-0.32 a magnitude.
    ratio = ((magnitude > 23.2) & (magnitude < 24.2)).mean() / (magnitude > 24.2).mean()
    assert ratio == pytest.approx(10**-0.32, abs=0.08)
    near = np.abs(magnitude - 24.0) < 0.3
    assert np.median(column["redshift"][near]) == pytest.approx(0.66 + 0.16 * 1.75, rel=0.06)
    assert column["early_type"].mean() == pytest.approx(0.12, abs=0.05)
    assert column["axis_ratio"].min() >= 0.15


def test_the_cosmology_table_agrees_with_astropy():
    for redshift in (0.1, 0.7, 2.3):
        assert distance_modulus(redshift) == pytest.approx(
            Planck18.distmod(redshift).value, abs=2e-3
        )
        expected = Planck18.kpc_proper_per_arcmin(redshift).value / 60
        assert kpc_per_arcsec(redshift) == pytest.approx(expected, rel=2e-3)


def test_psfs_sum_to_one_and_have_the_width_of_acs():
    for image in telescopes.psf_images("F814W"):
        assert image.sum() == pytest.approx(1, abs=1e-6)
        sigma = galsim.hsm.FindAdaptiveMom(galsim.Image(image)).moments_sigma * SCALE
        assert sigma == pytest.approx(0.0532, abs=0.003)


@pytest.mark.parametrize("names", BAND_SETS.values())
def test_colours_are_those_that_galsim_integrates(names):
    reference = telescopes.bands_of([telescopes.SELECTION])[0].bandpass.withZeropoint("AB")
    for spectral_type, name in enumerate(colours.SPECTRA):
        path = f"{galsim.meta_data.share_dir}/SEDs/CWW_{name}_ext.sed"
        spectrum = galsim.SED(path, "Ang", "flambda").atRedshift(0.53)
        found = -2.5 * np.log10(colours.flux_ratios(spectral_type, 0.53, names))
        for band, colour in zip(telescopes.bands_of(names), found, strict=True):
            bandpass = band.bandpass.withZeropoint("AB")
            expected = spectrum.calculateMagnitude(bandpass) - spectrum.calculateMagnitude(
                reference
            )
            assert colour == pytest.approx(expected, abs=0.01)


def test_hydrogen_takes_the_light_beyond_its_lines():
    wavelength = 1100.0 * np.array([4.5])  # between Lyman alpha and beta, at redshift 3.5
    # Madau 1995: exp(-0.0036 (observed / 1216)^3.46)
    expected = np.exp(-0.0036 * (wavelength / 1216) ** 3.46)
    np.testing.assert_allclose(colours.transmission(wavelength, 3.5), expected)
    assert colours.transmission(np.array([900 * 4.5]), 3.5) == 0
    assert colours.transmission(np.array([1300 * 4.5]), 3.5) == 1


@pytest.mark.parametrize(
    ("index", "ratio", "radius"), [(1.0, 0.6, 0.3), (4.0, 0.8, 0.2), (0.5, 0.3, 0.1)]
)
def test_points_give_the_sersic_profile_that_galsim_draws(index, ratio, radius):
    galaxy = {**draw_parameters(np.random.default_rng(0)), **SMOOTH, "early_type": 1}
    galaxy |= {"flux_radius": radius, "sersic_index": index, "axis_ratio": ratio}
    galaxy |= {"position_angle": 30.0}
    places, flux = galaxy_points(galaxy, ["F814W"], SCALE, np.random.default_rng(0))
    image = through_psf(places / SCALE, flux, 64, ("F814W",), 3)[0]
    profile = galsim.Sersic(index, half_light_radius=radius).shear(
        q=ratio, beta=30 * galsim.degrees
    )
    psf = galsim.Image(telescopes.psf_images("F814W")[3], scale=SCALE)
    seen = galsim.Convolve(profile, galsim.InterpolatedImage(psf, flux=1.0))
    expected = seen.drawImage(nx=64, ny=64, scale=SCALE, method="no_pixel").array
    # Sersic profiles of n=4 have a cusp, and a tenth of their light in wings that are cut off.
    assert np.abs(image - expected).max() < (0.04 if index == 4 else 0.01) * expected.max()
    assert image.sum() == pytest.approx(expected.sum(), rel=0.06 if index == 4 else 0.01)


@pytest.mark.parametrize("bands", ["hst", "lsst"])
def test_bands_are_images_of_one_galaxy(bands):
    block = draw(range(30), 64, seed=2, bands=bands, noiseless=True)
    n = len(BAND_SETS[bands])
    assert block["image"].shape == (30, n, 64, 64)
    assert block["magnitude"].shape == block["noise_variance"].shape == (30, n)
    source = SimulatedSource(1, 64, bands)
    points = np.array(source.attrs()["zero_point"])
    alone = block["companion_fraction"] == 0
    bright = alone & (block["flux_radius"] < 6 * source.telescope.pixel_scale)
    light = block["noiseless"].sum((2, 3))[bright]
    seen = points - 2.5 * np.log10(light)
    assert np.median(np.abs(seen - block["magnitude"][bright]), axis=0).max() < 0.02
    noise = (block["image"] - block["noiseless"]).std((0, 2, 3))
    np.testing.assert_allclose(noise, np.sqrt(block["noise_variance"][0]), rtol=0.05)


def test_one_band_of_several_is_the_same_galaxy():
    several = draw(range(5), 64, seed=3, bands="hst", noiseless=True)
    one = draw(range(5), 64, seed=3, noiseless=True)
    number = BAND_SETS["hst"].index("F814W")
    np.testing.assert_allclose(several["noiseless"][:, number], one["noiseless"], atol=1e-6)
    np.testing.assert_allclose(several["magnitude"][:, number], one["magnitude"])


def test_redder_galaxies_are_at_higher_redshift_within_a_type():
    block = draw(range(300), 16, seed=0, bands=["F606W", "F814W"], structure=False)
    colour = block["magnitude"][:, 0] - block["magnitude"][:, 1]
    early = (block["early_type"] == 1) & (block["redshift"] < 0.9)
    assert np.corrcoef(colour[early], block["redshift"][early])[0, 1] > 0.9


def test_arms_are_as_many_and_as_open_as_they_say():
    galaxy = {**draw_parameters(np.random.default_rng(0)), **SMOOTH, "early_type": 0}
    galaxy |= {"flux_radius": 0.6, "axis_ratio": 1.0, "sersic_index": 1.0, "bulge_fraction": 0.0}
    galaxy |= {"arms": 2, "pitch_angle": 20.0, "arm_strength": 1.0, "young_fraction": 0.5}
    places, flux = galaxy_points(galaxy, ["F814W"], SCALE, np.random.default_rng(1))
    radius, angle = np.hypot(*places) / 0.6, np.arctan2(places[1], places[0])
    rings = [(radius > r - 0.05) & (radius < r + 0.05) for r in (0.8, 1.0, 1.25, 1.6)]
    modes = np.array(
        [
            [(flux[0, ring] * np.exp(1j * m * angle[ring])).sum() for m in range(1, 6)]
            for ring in rings
        ]
    )
    assert (np.abs(modes).argmax(axis=1) == 1).all()  # m = 2
    turns = np.unwrap(np.angle(modes[:, 1])) / 2
    pitch = np.degrees(np.arctan(np.log(1.6 / 0.8) / abs(turns[-1] - turns[0])))
    assert pitch == pytest.approx(20, abs=6)


def test_dust_dims_and_reddens_a_disc_and_lies_in_a_lane_where_it_is_seen_from_the_side():
    galaxy = {**draw_parameters(np.random.default_rng(0)), **SMOOTH, "early_type": 0}
    galaxy |= {"flux_radius": 0.4, "axis_ratio": 0.15, "sersic_index": 1.0, "bulge_fraction": 0.0}
    galaxy |= {"position_angle": 0.0, "redshift": 0.3}
    bands, rng = ["F435W", "F814W"], np.random.default_rng(0)
    _, clear = galaxy_points(galaxy, bands, SCALE, rng)
    places, dusty = galaxy_points({**galaxy, "dust_depth": 2.0}, bands, SCALE, rng)
    assert dusty[1].sum() == pytest.approx(1, rel=1e-3)  # the magnitude is that behind the dust
    assert dusty[0].sum() < 0.97 * clear[0].sum()
    heights = np.abs(places[1])
    lane = heights < np.quantile(heights, 0.3)
    assert dusty[0, lane].sum() / dusty[0].sum() < 0.95 * clear[0, lane].sum() / clear[0].sum()


def test_structure_depends_on_type_and_redshift():
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(4000):
        galaxy = draw_parameters(rng)
        rows.append({**galaxy, **draw_structure(galaxy, rng)})
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    early, far = column["early_type"] == 1, column["redshift"] > 1.2
    for name in ("arms", "clumps", "bar_fraction", "dust_depth", "ring_strength"):
        assert (column[name][early] == 0).all()
    absolute = column["magnitude"] - np.array([distance_modulus(z) for z in column["redshift"]])
    late, near = ~early & (np.abs(absolute + 20) < 1.5), column["redshift"] < 0.6
    for name, rises in (("arms", False), ("bar_fraction", False), ("companion_fraction", True)):
        shares = [(column[name][late & where] > 0).mean() for where in (near, far)]
        assert (shares[1] > 1.3 * shares[0]) if rises else (shares[1] < 0.8 * shares[0])
    fractions = [column["clump_fraction"][late & where].mean() for where in (near, far)]
    assert fractions[1] > 1.3 * fractions[0]


@pytest.mark.parametrize("bands", ["F999W", ["F814W", "i"], ["F814W", "F814W"], []])
def test_bands_that_cannot_be_simulated(bands):
    with pytest.raises(ValueError, match=r"data.bands="):
        SimulatedSource(1, 32, bands)


def test_catalogue_is_plain_numbers():
    truth = draw_parameters(np.random.default_rng(3))
    assert json.dumps(truth)
