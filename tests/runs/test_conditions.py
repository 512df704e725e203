"""What redshift=, magnitude= and size= ask for."""

import numpy as np
import pytest

from galgen.errors import GalgenError
from galgen.runs.conditions import Condition, read_conditions

SURVEY = np.linspace(0.2, 2.2, 201)


def test_one_redshift_is_everybodys():
    assert Condition("redshift", 0.5).draw(0, 7, 3).tolist() == [0.5, 0.5, 0.5]
    assert Condition("redshift", "0.5").steps(4).tolist() == [0.5]


def test_a_range_is_drawn_uniformly_and_shown_in_steps():
    wanted = Condition("redshift", "0.1:2")
    drawn = wanted.draw(1, 0, 4000)
    assert 0.1 < drawn.min() < 0.11
    assert 1.99 < drawn.max() < 2
    assert drawn.mean() == pytest.approx(1.05, abs=0.03)
    np.testing.assert_array_equal(wanted.draw(1, 1500, 10), drawn[1500:1510])
    assert wanted.steps(3).tolist() == [0.1, 1.05, 2]


def test_a_list_is_repeated_in_order():
    wanted = Condition("redshift", [0.1, 0.5, 2])
    assert wanted.draw(0, 4, 4).tolist() == [0.5, 2, 0.1, 0.5]
    assert wanted.steps(9).tolist() == [0.1, 0.5, 2]


def test_the_surveys_own_are_drawn_from_it():
    wanted = Condition("redshift", "survey")
    drawn = wanted.draw(3, 0, 5000, SURVEY)
    assert set(drawn) <= set(SURVEY)
    assert drawn.mean() == pytest.approx(SURVEY.mean(), abs=0.03)
    np.testing.assert_allclose(wanted.steps(2, SURVEY), [0.3, 2.1])
    assert wanted.outside((5, 6)) is None


def test_redshifts_beyond_the_trained_are_told():
    assert Condition("redshift", "0.5:2").outside((0.1, 2.5)) is None
    assert "0.1 to 2.5" in Condition("redshift", "0.5:3").outside((0.1, 2.5))
    assert "0.1 to 2.5" in Condition("redshift", 0.05).outside((0.1, 2.5))


@pytest.mark.parametrize(
    "bad",
    [-1, "-1:2", float("nan"), "nan", "inf", "2:1", "1:1", "0:1:2", "0:", "high", [], [0.1, -2],
     [0.1, None], True, 9.5, 1000],
)  # fmt: skip
def test_what_is_no_redshift(bad):
    with pytest.raises(GalgenError, match="redshift="):
        Condition("redshift", bad)


@pytest.mark.parametrize(
    ("name", "bad"),
    [("magnitude", "bright"), ("magnitude", 99), ("magnitude", float("nan")), ("size", -1),
     ("size", "0.5:0.1"), ("magnitude", [])],
)  # fmt: skip
def test_what_is_no_magnitude_or_size(name, bad):
    with pytest.raises(GalgenError, match=f"{name}="):
        Condition(name, bad)


def test_conditions_are_drawn_apart_from_each_other():
    found = read_conditions({"redshift": "0:1", "magnitude": "0:1", "size": "0:1", "n": 3})
    columns = np.array([condition.draw(0, 0, 4000) for condition in found.values()])
    assert list(found) == ["redshift", "magnitude", "size"]
    np.testing.assert_allclose(np.corrcoef(columns), np.eye(3), atol=0.06)
    assert read_conditions({"magnitude": None, "redshift": 0.0}).keys() == {"redshift"}


def test_conditions_of_the_survey_are_those_of_one_galaxy():
    found = read_conditions({"redshift": "survey", "magnitude": "survey"})
    redshift = found["redshift"].draw(4, 10, 500, SURVEY)
    np.testing.assert_array_equal(found["magnitude"].draw(4, 10, 500, 20 + SURVEY), 20 + redshift)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(22), np.array([0.5, 0.75])])
def test_numbers_of_numpy_are_numbers(value):
    name = "magnitude" if np.max(value) > 10 else "redshift"
    drawn = Condition(name, value).draw(0, 0, 2)
    np.testing.assert_array_equal(drawn, np.broadcast_to(value, 2))


def test_a_range_and_the_survey_s_rows_are_independent():
    survey = np.linspace(20, 25, 4000)  # a file that is sorted by magnitude
    magnitude = Condition("magnitude", "survey").draw(0, 0, 4000, survey)
    for name, wanted in (("redshift", "0.1:2"), ("magnitude", "20:25"), ("size", "0.1:1")):
        drawn = Condition(name, wanted).draw(0, 0, 4000)
        assert abs(np.corrcoef(magnitude, drawn)[0, 1]) < 0.06
