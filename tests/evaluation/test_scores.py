"""Scores of measured samples, the conditional ones beside their shuffled control."""

import numpy as np
import pytest
import torch

from galgen.evaluation.compared import Compared
from galgen.evaluation.features import FeatureEncoder
from galgen.evaluation.morphology.measure import Flag
from galgen.evaluation.redshifts import RedshiftRegressor
from galgen.evaluation.sample import Sample, measured
from galgen.evaluation.scores import METRICS, Metric, ideal_of, score
from tests.conftest import discs

NAMES = ("log_flux", "sigma")


def sample(n=1200, seed=0, follows=True, shift=0.0):
    """Galaxies whose flux falls with redshift, or does not."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0, 2, n)
    flux = -redshift if follows else -rng.permutation(redshift)
    columns = {"log_flux": flux + rng.normal(0, 0.2, n) + shift, "sigma": rng.normal(size=n)}
    return Sample("", {**columns, "flag": np.zeros(n, int)}, redshift, rng.normal(size=(n, 4)))


def test_alike_scores_near_the_floor_and_apart_does_not():
    real = sample()
    near = Compared(real, sample(seed=1), NAMES, NAMES)
    alike = score(near)
    assert set(near.distances) == set(NAMES)
    assert alike["mean_w1"] < 3 * alike["mean_w1_floor"]
    assert alike["c2st"] == pytest.approx(0.5, abs=0.05)
    assert alike["coverage"] > 0.9
    assert alike["left_out"] == 0
    far = Compared(real, sample(seed=1, shift=1.0), NAMES, ("log_flux",))
    apart, distances = score(far), far.distances
    scatter = real.columns["log_flux"].std()
    assert apart["mean_w1"] == distances["log_flux"].value == pytest.approx(1 / scatter, rel=0.05)
    assert apart["c2st"] > 0.65
    assert apart["frechet"] > 10 * alike["frechet"]
    assert apart["frechet_encoder"] == alike["frechet_encoder"]  # the same features


def test_a_metric_is_a_row_of_one_table(monkeypatch, capsys):
    from galgen.evaluate import print_table

    metric = Metric("new one", lambda c: float(len(c.generated)), needs="generated", ideal=7)
    monkeypatch.setitem(METRICS, "new", metric)
    scores = score(Compared(sample(), sample(90, seed=1), NAMES, NAMES))
    assert (scores["new"], ideal_of("new")) == (90, 7)
    facts = dict.fromkeys(("run", "n", "real", "simulated", "survey", "split", "compared"), "")
    print_table({**facts, "seeds": [0], "headline": [], "scores": {"a": scores}, "left_out": []})
    printed = capsys.readouterr().out
    assert "new one" in printed
    assert "90.000" in printed


def test_ideals_are_known_of_scores_and_fits():
    assert (ideal_of("c2st"), ideal_of("memorisation"), ideal_of("frechet")) == (0.5, 1, 0)
    assert ideal_of("log_likelihood_flow") == ideal_of("elbo") == float("inf")
    assert ideal_of("redshift_slope") is ideal_of("anything") is None
    assert METRICS["mean_w1"].ideal_text == "floor"


def test_what_cannot_be_measured_is_counted_by_cause_and_left_out():
    lacking = sample()
    lacking.columns["sigma"][:300] = np.nan
    lacking.columns["flag"][:300] = Flag.MOMENTS
    lacking.columns["flag"][:100] |= Flag.FAINT
    scores = score(Compared(sample(seed=1), lacking, NAMES, NAMES))
    assert scores["left_out"] == 0.25
    causes = lacking.causes(NAMES)
    assert (causes["galaxies"], causes["left_out"]) == (1200, 300)
    assert (causes["moments"], causes["faint"], causes["flux"]) == (300, 100, 0)
    lacking.columns["sigma"][:] = np.nan
    compared = Compared(sample(seed=1), lacking, NAMES, NAMES)
    assert (score(compared), compared.distances) == ({"left_out": 1}, {})


def test_a_sample_that_follows_its_redshifts_beats_its_shuffled_control():
    regressor = RedshiftRegressor(sample(seed=5), NAMES)
    real = sample()
    good = score(Compared(real, sample(seed=1), NAMES, NAMES, regressor=regressor))
    assert good["redshift_slope"] > 0.8
    assert good["redshift_slope_shuffled"] == pytest.approx(0, abs=0.1)
    assert good["redshift_bias"] == pytest.approx(0, abs=0.05)
    assert good["w1_by_redshift"] < 0.15
    assert good["w1_by_redshift_shuffled"] > 3 * good["w1_by_redshift"]


def test_a_sample_that_ignores_its_redshifts_scores_like_its_shuffled_control():
    regressor = RedshiftRegressor(sample(seed=5), NAMES)
    generated = sample(seed=1, follows=False)
    blind = score(Compared(sample(), generated, NAMES, NAMES, regressor=regressor))
    assert blind["redshift_slope"] == pytest.approx(0, abs=0.1)
    assert blind["w1_by_redshift"] == pytest.approx(blind["w1_by_redshift_shuffled"], rel=0.1)


def test_unknown_redshifts_are_left_out():
    real, lacking = sample(), sample(seed=1)
    lacking.redshift[:100] = np.nan
    regressor = RedshiftRegressor(lacking, NAMES)
    found = score(Compared(real, lacking, NAMES, NAMES, regressor=regressor))
    assert np.isfinite(list(found.values())).all()


def test_measured_statistics_scale_with_brightness():
    images = discs(20, 64) + np.random.default_rng(0).normal(0, 0.002, (20, 64, 64)).astype("f4")
    one, ten = (measured("", factor * images, 0.03, 25.0) for factor in (1, 10))
    np.testing.assert_allclose(ten.columns["log_flux"], one.columns["log_flux"] + 1, atol=1e-3)
    np.testing.assert_allclose(ten.columns["magnitude"], one.columns["magnitude"] - 2.5, atol=1e-3)
    np.testing.assert_allclose(ten.columns["sigma"], one.columns["sigma"], rtol=1e-3)


def test_features_follow_the_seed_tell_galaxies_apart_and_leave_torch_s_numbers_alone():
    images = discs(200)[:, None]
    targets = np.stack([images.sum(axis=(1, 2, 3)), np.full(200, np.nan)], axis=1)
    targets[:, 1] = np.linspace(0, 1, 200)
    targets[::2, 1] = np.nan
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    encoder = FeatureEncoder(images, targets)
    assert torch.equal(torch.rand(3), expected)
    features = encoder(images)
    np.testing.assert_array_equal(features, FeatureEncoder(images, targets)(images))
    assert not np.allclose(features, FeatureEncoder(images, targets, seed=1)(images))
    size = np.abs(np.corrcoef(features.T, images.sum(axis=(1, 2, 3)))[-1, :-1])
    assert size.max() > 0.5


def test_a_galaxy_that_is_not_finite_has_no_features_and_is_not_scored_by_them():
    images = discs(40)[:, None]
    encoder = FeatureEncoder(images, images.sum(axis=(1, 2, 3))[:, None])
    expected = encoder(images)
    images[3, 0, 2, 2] = np.inf
    found = encoder(images)
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(np.delete(found, 3, 0), np.delete(expected, 3, 0), rtol=1e-5)
    one, other = sample(), sample(seed=1)
    other.features[5] = np.nan
    assert np.isfinite(score(Compared(one, other, NAMES, NAMES))["frechet_encoder"])


def test_the_regression_does_without_statistics_that_no_galaxy_has():
    training = sample()
    training.columns["m20"] = np.full(1200, np.nan)
    regressor = RedshiftRegressor(training, (*NAMES, "m20", "gini"))
    assert regressor.names == list(NAMES)
    assert regressor.slope_and_bias(sample(seed=1))[0] > 0.8
