"""What an evaluation could not compare, in sentences."""

import numpy as np

from galgen.evaluation.observation import Observation
from galgen.runs.verdict import PEDESTAL, level


def note_missing(observation: Observation, has_redshifts: bool, n: int, n_real: int) -> list[str]:
    """Return notes on what a run or its survey lacks.

    Args:
        observation: of the run.
        has_redshifts: whether the redshift of some galaxy is known.
        n: galaxies that are generated.
        n_real: galaxies of the test part that they are compared with.
    """
    run, notes = observation.run, []
    if not has_redshifts:
        notes.append("the survey has no redshifts: nothing is scored by redshift")
    if run.zero_points[run.reference] is None:
        notes.append("no magnitudes: the run's images have no unit with a zero point")
    if observation.peak:
        notes.append("fluxes are in units of a galaxy's brightest pixel")
    if run.pixel_scale is None:
        notes.append("the pixel scale is not known: sizes are in px")
    if not run.facts.get("split"):
        notes.append(
            "the run does not know its split: galaxies of the test part may have been trained on"
        )
    if n > n_real:
        notes.append(
            f"n={n} is more than the test part has: {n_real} real galaxies, whose redshifts are "
            "used several times"
        )
    return notes


def note_bands(observation: Observation, positions: np.ndarray) -> list[str]:
    """Return notes on the bands of a run whose colours are compared.

    Args:
        observation: of the run.
        positions: of the galaxies that are compared, in the test part, (N,).
    """
    run, notes = observation.run, []
    unknown = [
        band
        for band, point in zip(run.bands, run.zero_points, strict=True)
        if point is None and observation.bands
    ]
    if unknown:
        notes.append(
            f"the zero point is not known in {', '.join(unknown)}: colours are instrumental, up to "
            "a constant"
        )
    lacking = np.count_nonzero(~observation.has_band("test", positions), axis=0)
    if lacking.any():
        listed = ", ".join(f"{n} {band}" for band, n in zip(run.bands, lacking, strict=True) if n)
        notes.append(
            f"of {len(positions)} real galaxies some lack a band ({listed}); generated galaxies "
            "lack the same, and both count in the statistics of their other bands alone"
        )
    return notes


def note_pedestals(edges: dict[str, dict[str, float]]) -> list[str]:
    """Return a note on generated galaxies that have a constant level of light.

    Args:
        edges: spread of the light of the edges by prior, as `galgen.runs.verdict.spread` gives it.
    """
    return [
        f"generated galaxies of prior={prior} stand on a pedestal: {level(edge, 'their')}, which "
        "counts as background where galaxies are measured"
        for prior, edge in edges.items()
        if edge and edge["median"] > PEDESTAL
    ]
