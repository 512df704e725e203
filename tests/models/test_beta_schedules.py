"""Shapes and bounds of the beta schedules."""

import math

import pytest

from galgen.models.beta_schedules import Constant, Cosine, Cyclical, Linear, Table

STEPS = 1000
SCHEDULES = [
    Constant(0.3),
    Linear(0.3, start=0.1, warmup=0.25),
    Cosine(0.3, start=0.1, warmup=0.25),
    Cyclical(0.3, start=0.1, cycles=4, ramp=0.5),
    Table([0.1, 0.2, 0.3]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_values_stay_between_start_and_beta_and_end_at_beta(schedule):
    values = [schedule(step, STEPS) for step in range(STEPS)]
    assert min(values) >= min(0.1, schedule.beta) - 1e-12
    assert max(values) <= schedule.beta + 1e-12
    assert values[-1] == pytest.approx(schedule.beta)


def test_linear_is_halfway_in_the_middle_of_the_warmup():
    schedule = Linear(0.3, start=0.1, warmup=0.25)
    assert schedule(0, STEPS) == pytest.approx(0.1)
    assert schedule(125, STEPS) == pytest.approx(0.2)
    assert schedule(250, STEPS) == pytest.approx(0.3)


def test_cosine_follows_its_formula():
    schedule = Cosine(1.0, warmup=0.5)
    for step in range(0, 500, 50):
        assert schedule(step, STEPS) == pytest.approx((1 - math.cos(math.pi * step / 500)) / 2)


def test_cyclical_repeats_and_rises_for_its_ramp():
    schedule = Cyclical(1.0, cycles=4, ramp=0.5)
    one, two = ([schedule(s + o, STEPS) for s in range(250)] for o in (0, 250))
    assert one == pytest.approx(two)
    assert one[0] == 0
    assert one[62] == pytest.approx(62 / 125)
    assert one[125:] == [1.0] * 125


def test_table_holds_each_value_for_an_epoch():
    schedule = Table([0.1, 0.2, 0.4])
    assert [schedule(step, 12) for step in range(12)] == [0.1] * 4 + [0.2] * 4 + [0.4] * 4


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_extreme_warmups_are_finite(warmup):
    assert Linear(0.3, warmup=warmup)(STEPS, STEPS) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-0.1),
        lambda: Constant(math.nan),
        lambda: Linear(0.1, warmup=1.5),
        lambda: Cyclical(0.1, cycles=0),
        lambda: Table([]),
        lambda: Table([0.1, math.inf]),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="beta_schedule"):
        make()
