"""Scores of colours, and the evaluation of a run of several bands, of which some are missing."""

import json

import h5py
import numpy as np
import pytest

from galgen.evaluation.band_statistics import all_names, colour_names
from galgen.evaluation.compared import Compared
from galgen.evaluation.observation import STRUCTURE
from galgen.evaluation.redshifts import RedshiftRegressor
from galgen.evaluation.sample import Sample
from galgen.evaluation.scores import METRICS, score
from galgen.figures.evaluation_colours import redshift_edges, running_percentiles, select_colours
from tests.conftest import discs, run_command, train_once

BANDS = ["g", "r", "i"]
N, LACKING = 400, slice(0, None, 5)
"""Galaxies of the small survey, and those of them that lack the band i."""
NAMES = ("sigma",)


def sample(n=600, seed=0, follows=True):
    """Galaxies whose two colours follow one line, and the redshift too, or not."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0, 2, n)
    red = redshift if follows else rng.permutation(redshift)
    columns = {name: rng.normal(size=n) for name in all_names(BANDS)}
    for name in colour_names(BANDS):
        columns[name] = red + rng.normal(0, 0.1, n)
    columns |= {"sigma": rng.normal(size=n), "flag": np.zeros(n, int)}
    return Sample("", columns, redshift)


def compared(real, generated, **given):
    """Put samples of three bands beside each other."""
    return Compared(real, generated, NAMES, NAMES, bands=BANDS, **given)


@pytest.fixture(autouse=True)
def colours_alone(monkeypatch):
    """Leave the other metrics out, which take most of the time, but for the slope."""
    few = {n: m for n, m in METRICS.items() if m.of_colours or n in ("redshift_slope", "c2st")}
    monkeypatch.setattr("galgen.evaluation.scores.METRICS", few)


def test_colours_alike_score_near_the_floor_and_shuffled_ones_fail_the_c2st():
    both = compared(sample(), sample(seed=1))
    found = score(both)
    assert found["mean_w1_colours"] < 2 * found["mean_w1_colours_floor"]
    assert found["mean_w1_gradients"] < 2 * found["mean_w1_gradients_floor"]
    assert found["c2st_colours"] == pytest.approx(0.5, abs=0.06)
    assert found["c2st_colours_shuffled"] > 0.75
    shuffled = both.shuffled_colours
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(both.colours[1], axis=0))
    assert set(both.band_distances) == set(all_names(BANDS))


def test_a_shift_of_one_colour_is_its_distance():
    shifted = sample(seed=1)
    shifted.columns["colour_g_r"] += 1
    both = compared(sample(), shifted)
    scatter = sample().columns["colour_g_r"].std()
    assert both.band_distances["colour_g_r"].value == pytest.approx(1 / scatter, rel=0.1)
    assert METRICS["c2st_colours"].function(both) > 0.9


def test_colours_that_ignore_the_redshift_score_like_shuffled_redshifts():
    regressor = RedshiftRegressor(sample(seed=5), [*NAMES, *all_names(BANDS)])
    good = score(compared(sample(), sample(seed=1), regressor=regressor))
    blind = score(compared(sample(), sample(seed=1, follows=False), regressor=regressor))
    assert good["redshift_slope"] > 0.95
    assert good["w1_colours_by_redshift"] < 0.2
    assert good["w1_colours_by_redshift_shuffled"] > 3 * good["w1_colours_by_redshift"]
    assert blind["w1_colours_by_redshift"] == pytest.approx(
        blind["w1_colours_by_redshift_shuffled"], rel=0.1
    )
    assert blind["redshift_slope"] == pytest.approx(0, abs=0.1)


def test_one_band_has_no_scores_of_colours():
    found = score(Compared(sample(), sample(seed=1), NAMES, NAMES))
    assert not [name for name in found if METRICS[name].of_colours]


def test_galaxies_without_a_band_are_left_out_of_its_colours_alone():
    real, lacking = sample(), sample(seed=1)
    lacking.columns["colour_r_i"][:100] = np.nan
    lacking.columns["colour_gradient_r_i"][:] = np.nan
    both = compared(real, lacking)
    found = score(both)
    assert lacking.known(colour_names(BANDS)) == {"colour_g_r": 600, "colour_r_i": 500}
    assert "colour_gradient_r_i" not in both.band_distances
    assert np.isfinite(found["mean_w1_gradients"])  # of the other one
    lost = np.isnan(both.shuffled_colours)
    np.testing.assert_array_equal(lost, np.isnan(both.colours[1]))
    for name in colour_names(BANDS):
        lacking.columns[name][:] = np.nan
    assert "c2st_colours" not in score(compared(real, lacking))


def test_running_percentiles_follow_a_line():
    redshift = np.linspace(0, 2, 2001)
    values = 3 * redshift + np.tile([-1.0, 0, 1], 667)
    values[5] = np.nan
    edges = redshift_edges(redshift)
    places, percentiles = running_percentiles(redshift, values, edges)
    assert len(places) == 12
    np.testing.assert_allclose(percentiles[:, 1], 3 * places, atol=0.05)
    assert (percentiles[:, 2] - percentiles[:, 0] > 1.9).all()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Evaluate a run of three bands, of which a fifth of the galaxies lack one."""
    folder = tmp_path_factory.mktemp("bands")
    rng = np.random.default_rng(0)
    redshift = np.linspace(0.1, 2, N)
    colour = np.stack([np.ones(N), 1 + redshift, 2 + redshift**2], axis=1)
    image = 20 * discs(N)[:, None] * colour[:, :, None, None]
    flux, noise, has_band = image.sum(axis=(2, 3)), rng.normal(size=image.shape), np.ones((N, 3))
    has_band[LACKING, 2] = 0
    weight = np.broadcast_to(has_band[:, :, None, None], image.shape)
    psf = np.zeros((1, 3, 5, 5))
    psf[..., 2, 2] = 1
    with h5py.File(folder / "colours.h5", "w") as file:
        file["image"] = ((image + noise) * weight).astype("f4")
        file["weight"], file["has_band"] = weight.astype("f4"), has_band.astype("i1")
        file["noise_variance"] = np.where(has_band, 1, np.nan)
        file["flux"] = np.where(has_band, flux, np.nan)
        file["redshift"], file["galaxy_id"] = redshift, np.arange(N)
        file["psf"], file["psf_index"] = psf, np.zeros(N, int)
        for name, value in (("sersic_index", 1), ("axis_ratio", 0.7), ("flux_radius", 0.9)):
            file[name] = np.full(N, float(value))
        file.attrs.update(galgen_schema=2, survey="mine", bands=BANDS, unit="counts/s")
        file.attrs.update(pixel_scale=0.2, zero_point=[25.0, 25.5, 26.0], reference_band="r")
    data = ["data=file", f"data.file={folder / 'colours.h5'}", "data.split=[0.4,0.1,0.5]"]
    run = train_once(folder, *data, "model=residual_cvae", "trainer.max_epochs=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galgen.figures.evaluation_figures.FIGURES", (select_colours,))
        run_command("evaluate", f"run={run}", "n=200", "seeds=1")
    return run, json.loads((run / "evaluation.json").read_text())


def test_every_sample_of_several_bands_has_scores_of_colours(evaluated):
    _, found = evaluated
    assert found["bands"] == BANDS
    names = {name for name, metric in METRICS.items() if metric.of_colours}
    for sample_name in ("normal", "sersic", "real_half"):
        assert found["scores"][sample_name].keys() >= names, sample_name
        assert found["wasserstein"][sample_name].keys() >= {*colour_names(BANDS)}, sample_name
    real = found["wasserstein"]["real_half"]
    clear = {f"{name} of clear galaxies" for name in STRUCTURE}
    assert real.keys() == {*found["statistics"], *all_names(BANDS), *clear}
    assert 0 < found["scores"]["shuffled"]["c2st_colours"] < 1
    assert found["scores"]["real_half"]["c2st_colours"] == pytest.approx(0.5, abs=0.2)
    assert found["scores"]["real_half"]["redshift_slope"] > 0.9
    assert found["scores"]["normal"]["c2st_colours"] > 0.9
    by_redshift = found["colours"]["by_redshift"]["normal"]
    assert by_redshift.keys() == set(colour_names(BANDS))
    assert all(len(values) == 4 for values in by_redshift.values())


def test_real_and_generated_galaxies_lack_the_same_bands(evaluated):
    run, found = evaluated
    known = found["colours"]["known"]
    assert known["real"] == {"colour_g_r": 200, "colour_r_i": known["real"]["colour_r_i"]}
    assert 140 < known["real"]["colour_r_i"] < 180
    for name in ("normal", "sersic", "posterior"):
        assert known[name]["colour_r_i"] < known[name]["colour_g_r"]
    (note,) = [note for note in found["left_out"] if "lack a band" in note]
    assert f"({200 - known['real']['colour_r_i']} i)" in note
    assert {"evaluation_colours.png", "evaluation_colours.pdf"} <= {
        path.name for path in (run / "figures").iterdir()
    }


def test_the_sersic_control_has_a_flux_in_each_band(evaluated):
    distances = evaluated[1]["wasserstein"]["sersic"]
    assert distances["colour_g_r"]["value"] < 0.4
    assert distances["aperture_magnitude_r"]["value"] < 1
