"""Beta as a pure function of the training step, so that a resumed run cannot shift it.

A schedule is called with the optimizer step (from 0) and the number of steps of the whole
training. Its `beta` is the weight it arrives at; validation always uses that one, so that
validation losses of different epochs can be compared.
"""

import math
from collections.abc import Sequence


class Constant:
    """The same beta at every step.

    Args:
        beta: weight of the KL.

    Raises:
        ValueError: if beta is negative or not finite.
    """

    def __init__(self, beta: float):
        self.beta = _weight("beta", beta)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return beta at a step."""
        return self.beta


class Linear:
    """A straight rise from `start` to `beta`, then constant (Bowman et al. 2016).

    Args:
        beta: weight at the end of the warm-up.
        start: weight at step 0.
        warmup: share of all steps that the rise takes, 0 to 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, beta: float, start: float = 0.0, warmup: float = 0.2):
        self.beta = _weight("beta", beta)
        self.start = _weight("start", start)
        self.warmup = _share("warmup", warmup)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return beta at a step."""
        return self.start + (self.beta - self.start) * _rise(step, self.warmup * total_steps)


class Cosine(Linear):
    """A rise from `start` to `beta` along half a cosine, then constant; arguments as `Linear`."""

    def __call__(self, step: int, total_steps: int) -> float:
        """Return beta at a step."""
        rise = 0.5 - 0.5 * math.cos(math.pi * _rise(step, self.warmup * total_steps))
        return self.start + (self.beta - self.start) * rise


class Cyclical:
    """Equal cycles, each a straight rise from `start` to `beta` and a rest at `beta`.

    Source: Fu et al. 2019, "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL
    Vanishing", equations 6 and 7.

    Args:
        beta: weight at the end of each rise.
        start: weight at the beginning of each cycle.
        cycles: number of cycles.
        ramp: share of a cycle that the rise takes, 0 to 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, beta: float, start: float = 0.0, cycles: int = 4, ramp: float = 0.5):
        self.beta = _weight("beta", beta)
        self.start = _weight("start", start)
        if cycles < 1:
            raise ValueError(f"beta_schedule.cycles={cycles}: it must be at least 1.")
        self.cycles = cycles
        self.ramp = _share("ramp", ramp)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return beta at a step."""
        length = total_steps / self.cycles
        rise = _rise(step % length if length else 0.0, self.ramp * length)
        return self.start + (self.beta - self.start) * rise


class Table:
    """One value for each epoch, the epochs being equal shares of the training.

    Args:
        values: beta of the first, second, ... epoch.

    Raises:
        ValueError: if there are none, or one is negative or not finite.
    """

    def __init__(self, values: Sequence[float]):
        if not values:
            raise ValueError("beta_schedule.values is empty, it takes a number for each epoch")
        self.values = [_weight("values", value) for value in values]
        self.beta = self.values[-1]

    def __call__(self, step: int, total_steps: int) -> float:
        """Return beta at a step."""
        epoch = step * len(self.values) // max(total_steps, 1)
        return self.values[min(epoch, len(self.values) - 1)]


def _rise(step: float, length: float) -> float:
    return 1.0 if step >= length else step / length


def _weight(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"beta_schedule.{name}={value}: it must be finite and not negative.")
    return float(value)


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"beta_schedule.{name}={value}: it must lie between 0 and 1.")
    return float(value)
