"""The simulated survey: reproducible, and with the units it claims."""

import json

import galsim
import h5py
import numpy as np
import pytest
from astropy.cosmology import Planck18
from scipy.signal import fftconvolve

from galgen.config.targets import instantiate
from galgen.data.preparation import prepare
from galgen.data.stamp_file import StampFile
from galgen.data.surveys import simulated_source
from galgen.data.surveys.simulated_source import SimulatedSource, draw_parameters


def draw(numbers, image_size, seed, **arguments):
    block, left_out = SimulatedSource(1, image_size, seed, **arguments).draw(numbers)
    assert not left_out
    return block


def test_the_same_stamps_at_any_number_of_processes_and_shards(tmp_path):
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    assert prepare(SimulatedSource(70, 32, seed=1, processes=1, shards=3), one)
    assert prepare(SimulatedSource(70, 32, seed=1, processes=2, shards=5), two)
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
    prepare(SimulatedSource(3, 32, noiseless=True, processes=1), path)
    before = path.stat().st_mtime_ns
    assert prepare(SimulatedSource(3, 32, processes=1), path, overwrite=True)
    assert path.stat().st_mtime_ns == before


def test_interrupted_companions_are_not_mixed_with_plain_stamps(tmp_path):
    path = tmp_path / "s.h5"
    assert not prepare(SimulatedSource(4, 32, noiseless=True, shards=2, shard=0), path)
    assert prepare(SimulatedSource(4, 32, shards=2), path, overwrite=True)
    assert list(StampFile(path).stacks) == ["image", "psf"]


def test_surveys_with_and_without_clumps_have_files_of_their_own(composed):
    names = {
        instantiate(composed("data=simulated", f"data.clumps={clumps}").data).file
        for clumps in ("true", "false")
    }
    assert len(names) == 2


@pytest.mark.parametrize("damage", ["truncated", "truncated shard", "other recipe", "other size"])
def test_what_is_not_the_survey_is_drawn_again(tmp_path, damage):
    path = tmp_path / "s.h5"
    size = 40 if damage == "other size" else 32
    prepare(SimulatedSource(3, size, seed=1, processes=1, shards=2), path)
    if damage.startswith("truncated"):
        victim = path if damage == "truncated" else tmp_path / "s.h5.shards" / "00001.h5"
        victim.write_bytes(victim.read_bytes()[:3000])
    if damage == "other recipe":
        for file in (path, *(tmp_path / "s.h5.shards").glob("*.h5")):
            with h5py.File(file, "a") as opened:
                opened.attrs["recipe"] = "galgen simulated survey, recipe 1"
    prepare(SimulatedSource(3, 32, seed=1, processes=1, shards=2), path, overwrite=True)
    np.testing.assert_array_equal(
        StampFile(path).read(slice(0, 3), 32)[:, 0], draw(range(3), 32, seed=1)["image"]
    )


def test_companions_are_the_stamp_without_noise_and_without_the_psf():
    block = draw(range(6), 158, seed=0, noiseless=True)
    noise = block["image"] - block["noiseless"]
    assert noise.std() == pytest.approx(0.00316, rel=0.03)
    assert np.abs(noise.mean()) < 0.0003
    psfs = SimulatedSource(1, 158).tables()["psf"]
    for number in range(6):
        free, seen = block["psf_free"][number], block["noiseless"][number]
        assert free.sum() == pytest.approx(seen.sum(), rel=0.02)
        again = fftconvolve(free, psfs[block["psf_index"][number]], "same")
        assert np.corrcoef(again.ravel(), seen.ravel())[0, 1] > 0.997
        assert free.max() > 1.2 * seen.max()
    plain = draw(range(6), 158, seed=0)
    np.testing.assert_array_equal(plain["image"], block["image"])


def test_galaxies_without_clumps():
    block = draw(range(20), 32, seed=0, clumps=False)
    assert (block["clumps"] == 0).all()
    assert (block["clump_fraction"] == 0).all()
    with_clumps = draw(range(20), 32, seed=0)
    np.testing.assert_array_equal(block["flux_radius"], with_clumps["flux_radius"])
    late = with_clumps["early_type"] == 0
    assert (np.abs(with_clumps["image"] - block["image"]).max((1, 2))[late] > 1e-6).all()


def test_stamps_hold_the_flux_of_their_magnitude():
    truth = draw(range(60), 158, seed=0)
    images = truth["image"]
    bright = truth["magnitude"] < 23.5
    assert bright.sum() > 5
    measured = 25.94 - 2.5 * np.log10(images[bright].sum(axis=(1, 2)))
    # The noise of a whole stamp's flux is 0.0078 * 158 = 1.2 counts/s, a mag-23.5 galaxy has 9.5.
    assert np.abs(np.median(measured - truth["magnitude"][bright])) < 0.1


def test_the_noise_is_that_of_cosmos():
    truth = draw(range(40), 158, seed=0)
    images = truth["image"]
    corners = images[:, :25, :25]
    np.testing.assert_allclose(corners.std(), 0.00316, rtol=0.05)
    neighbours = (corners[:, :, 1:] * corners[:, :, :-1]).mean() / corners.var()
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
    assert ratio == pytest.approx(10**-0.32, abs=0.05)
    near = np.abs(magnitude - 24.0) < 0.3
    assert np.median(column["redshift"][near]) == pytest.approx(0.66 + 0.16 * 1.75, rel=0.06)
    assert column["early_type"].mean() == pytest.approx(0.12, abs=0.05)
    assert (column["clumps"][column["early_type"] == 1] == 0).all()
    assert column["axis_ratio"].min() >= 0.15


def test_the_cosmology_table_agrees_with_astropy():
    modulus, kpc = simulated_source._cosmology()
    for redshift in (0.1, 0.7, 2.3):
        assert modulus(redshift) == pytest.approx(Planck18.distmod(redshift).value, abs=2e-3)
        expected = Planck18.kpc_proper_per_arcmin(redshift).value / 60
        assert kpc(redshift) == pytest.approx(expected, rel=2e-3)


def test_psfs_sum_to_one_and_have_the_width_of_acs():
    for image in simulated_source._psf_images():
        assert image.array.sum() == pytest.approx(1, abs=1e-6)
        sigma = galsim.hsm.FindAdaptiveMom(image).moments_sigma * 0.03
        assert sigma == pytest.approx(0.0532, abs=0.003)


def test_catalogue_is_plain_numbers():
    truth = draw_parameters(np.random.default_rng(3))
    assert json.dumps(truth)
