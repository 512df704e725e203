"""The survey's conditions: each column is as it was, and they hang together as they did."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import kstest, norm, spearmanr

from galgen.priors.conditions import SurveyConditions
from galgen.priors.random_numbers import REDSHIFT, uniform
from tests.priors.conftest import learn


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    """Return redshifts and magnitudes, skewed, of rank correlation 0.75, and their rounding."""
    rng = np.random.default_rng(0)
    score = rng.multivariate_normal([0, 0], [[1, 0.77], [0.77, 1]], 3000)
    redshift, magnitude = np.exp(0.5 * score[:, 0]), 25 - np.exp(-0.3 * score[:, 1])
    return np.stack([redshift, magnitude, np.round(redshift)], axis=1)


@pytest.fixture(scope="module")
def learned(table) -> SurveyConditions:
    torch.manual_seed(0)
    conditions = SurveyConditions(["redshift", "magnitude", "class"], transforms=2, width=16)
    conditions.tabulate(table)
    scores = torch.from_numpy(conditions.scores(table))
    learn(conditions.flow, scores, torch.zeros_like(scores), scores[:, :0], steps=600, lr=5e-3)
    return conditions.eval()


def test_scores_are_normal_and_keep_the_order(table):
    conditions = SurveyConditions(["redshift"])
    conditions.tabulate(table[:, :1])
    scores = conditions.scores(table[:, :1])
    assert scores.dtype == np.float32
    assert kstest(scores[:, 0], "norm").pvalue > 0.9
    assert spearmanr(scores[:, 0], table[:, 0]).statistic > 0.999999
    beyond = conditions.scores(np.array([[-99.0], [99.0]]))
    np.testing.assert_allclose(beyond[:, 0], ndtri([0.5 / 1001, 1 - 0.5 / 1001]), rtol=1e-5)


def test_a_single_column_is_drawn_by_its_quantiles_alone(table):
    conditions = SurveyConditions(["redshift"])
    assert conditions.flow is None
    conditions.tabulate(table[:, :1])
    [(name, drawn)] = conditions.draw(3, 10, 500).items()
    chance = uniform(3, REDSHIFT, 10, 500, 1)[:, 0]
    assert (name, drawn.dtype) == ("redshift", np.float64)
    rank = (table[:, 0] <= drawn[:, None]).mean(axis=1)
    np.testing.assert_allclose(rank, chance, atol=1.5e-3)
    back = norm.cdf(conditions.scores(drawn[:, None])[:, 0])
    np.testing.assert_allclose(back, np.clip(chance, 0.5 / 1001, 1 - 0.5 / 1001), atol=1e-5)


def test_each_column_is_distributed_as_in_the_survey_and_never_beyond(learned, table):
    drawn = learned.draw(0, 0, 20_000)
    assert list(drawn) == ["redshift", "magnitude", "class"]
    for values, survey in zip(drawn.values(), table.T, strict=True):
        assert values.min() >= survey.min()
        assert values.max() <= survey.max()
    for name, survey in (("redshift", table[:, 0]), ("magnitude", table[:, 1])):
        levels = np.linspace(0.02, 0.98, 25)
        ranks = (np.sort(survey)[:, None] <= np.quantile(drawn[name], levels)).mean(axis=0)
        np.testing.assert_allclose(ranks, levels, atol=0.03)


def test_columns_hang_together_as_in_the_survey(learned, table):
    drawn = np.stack(list(learned.draw(0, 0, 20_000).values()), axis=1)
    expected, found = (spearmanr(values).statistic for values in (table, drawn))
    assert 0.7 < expected[0, 1] < 0.8
    np.testing.assert_allclose(found, expected, atol=0.08)


def test_values_that_are_equal_share_their_ranks(learned, table):
    classes, counts = np.unique(table[:, 2], return_counts=True)
    scores = learned.scores(table)[:, 2]
    assert kstest(scores, "norm").pvalue > 0.01
    np.testing.assert_array_equal(scores, learned.scores(table)[:, 2])
    for low, high in itertools.pairwise(classes):
        assert scores[table[:, 2] == low].max() <= scores[table[:, 2] == high].min()
    drawn = learned.draw(0, 0, 20_000)["class"]
    for value, count in zip(classes[:4], counts[:4], strict=True):
        assert (np.abs(drawn - value) < 0.01).mean() == pytest.approx(count / 3000, abs=0.05)


def test_a_column_that_is_the_same_for_all_stays_so(table):
    torch.manual_seed(0)
    constant = np.stack([table[:, 0], np.full(3000, 0.7)], axis=1)
    conditions = SurveyConditions(["redshift", "magnitude"], transforms=1, width=8)
    conditions.tabulate(constant)
    assert kstest(conditions.scores(constant)[:, 1], "norm").pvalue > 0.01
    np.testing.assert_array_equal(conditions.draw(0, 0, 50)["magnitude"], np.full(50, 0.7))


def test_a_galaxy_has_its_conditions_wherever_the_count_begins(learned):
    whole = learned.draw(2, 0, 600)
    for start, n in ((0, 1), (5, 3), (250, 20), (256, 256), (599, 1)):
        for name, values in learned.draw(2, start, n).items():
            np.testing.assert_array_equal(values, whole[name][start : start + n])
    assert learned.draw(2, 7, 0)["redshift"].shape == (0,)
    assert not np.array_equal(learned.draw(3, 0, 600)["redshift"], whole["redshift"])
