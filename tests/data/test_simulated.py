"""The simulated survey: reproducible, and with the units it claims."""

import json

import galsim
import numpy as np
import pytest
from astropy.cosmology import Planck18

from galgen.data.sources import simulated
from galgen.data.sources.simulated import draw_galaxies, draw_parameters, draw_survey
from galgen.data.stamps import StampFile


def test_the_same_stamps_at_any_number_of_processes(tmp_path):
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    draw_survey(one, 70, 32, seed=1, processes=1)
    draw_survey(two, 70, 32, seed=1, processes=2)
    images = [StampFile(path).read(slice(0, 70), 32) for path in (one, two)]
    np.testing.assert_array_equal(*images)
    direct, columns = draw_galaxies(range(66, 70), 32, seed=1)
    np.testing.assert_array_equal(images[0][66:], direct)
    stamps = StampFile(one)
    np.testing.assert_array_equal(stamps.columns["galaxy_id"], np.arange(70))
    np.testing.assert_array_equal(stamps.columns["redshift"][66:], columns["redshift"])
    assert stamps.attrs["pixel_scale"] == 0.03
    assert not np.array_equal(draw_galaxies(range(66, 70), 32, seed=2)[0], direct)


def test_a_drawn_survey_is_reused(tmp_path):
    path = tmp_path / "s.h5"
    draw_survey(path, 3, 32, seed=1, processes=1)
    before = path.stat().st_mtime_ns
    draw_survey(path, 3, 32, seed=1)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncated", "other recipe", "other size"])
def test_what_is_not_the_survey_is_drawn_again(tmp_path, monkeypatch, damage):
    path = tmp_path / "s.h5"
    draw_survey(path, 3, 32 if damage != "other size" else 40, seed=1, processes=1)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    if damage == "other recipe":
        monkeypatch.setattr(simulated, "RECIPE", 99)
    draw_survey(path, 3, 32, seed=1, processes=1)
    np.testing.assert_array_equal(
        StampFile(path).read(slice(0, 3), 32), draw_galaxies(range(3), 32, seed=1)[0]
    )


def test_interrupted_drawing_leaves_nothing_that_is_believed(tmp_path, monkeypatch):
    path = tmp_path / "s.h5"
    monkeypatch.setattr(simulated, "TOGETHER", 2)
    blocks = simulated._blocks

    def interrupted(*arguments):
        for count, block in enumerate(blocks(*arguments)):
            if count == 2:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(simulated, "_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_survey(path, 8, 32, seed=1, processes=1)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_stamps_hold_the_flux_of_their_magnitude():
    images, truth = draw_galaxies(range(60), 158, seed=0)
    bright = truth["magnitude"] < 23.5
    assert bright.sum() > 5
    measured = 25.94 - 2.5 * np.log10(images[bright].sum(axis=(1, 2)))
    # The noise of a whole stamp's flux is 0.0078 * 158 = 1.2 counts/s, a mag-23.5 galaxy has 9.5.
    assert np.abs(np.median(measured - truth["magnitude"][bright])) < 0.1


def test_the_noise_is_that_of_cosmos():
    images, truth = draw_galaxies(range(40), 158, seed=0)
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
    modulus, kpc = simulated._cosmology()
    for redshift in (0.1, 0.7, 2.3):
        assert modulus(redshift) == pytest.approx(Planck18.distmod(redshift).value, abs=2e-3)
        expected = Planck18.kpc_proper_per_arcmin(redshift).value / 60
        assert kpc(redshift) == pytest.approx(expected, rel=2e-3)


def test_psfs_sum_to_one_and_have_the_width_of_acs():
    for image in simulated._psf_images():
        assert image.array.sum() == pytest.approx(1, abs=1e-6)
        sigma = galsim.hsm.FindAdaptiveMom(image).moments_sigma * 0.03
        assert sigma == pytest.approx(0.0532, abs=0.003)


def test_catalogue_is_plain_numbers():
    truth = draw_parameters(np.random.default_rng(3))
    assert json.dumps(truth)
