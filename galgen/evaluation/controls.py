"""Control galaxies, made without a prior, whose scores show how good a score can be."""

import numpy as np

from galgen.evaluation import sersic
from galgen.evaluation.observation import Observation


def draw_sersic_profiles(
    observation: Observation, positions: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw the Sérsic profiles of test galaxies as they are measured.

    Args:
        observation: of the run; it notes why there are none.
        positions: of the galaxies in the test part, (N,).
        seed: of the noise.

    Returns:
        Images (n, 1, H, W) and positions (n,) of the galaxies whose profile is usable; None where
        no galaxy has one.
    """
    run = observation.run
    if run.model.bands > 1:
        observation.notes.append("no parametric control: Sérsic profiles are those of one band")
        return None
    stamps, rows = run.survey.stamps, run.survey.parts["test"].rows[positions]
    parameters = sersic.sersic_columns(stamps.columns)
    if parameters is None or "psf" not in stamps.stacks or run.pixel_scale is None:
        observation.notes.append(
            "no parametric control: the survey has no Sérsic profiles or no PSF"
        )
        return None
    chosen = {name: values[rows] for name, values in parameters.items()}
    usable = np.isfinite(np.stack(list(chosen.values()))).all(axis=0) & (chosen["radius"] > 0)
    usable &= stamps.columns.get("has_psf", np.ones(len(stamps)))[rows] > 0
    if not usable.any():
        observation.notes.append("no parametric control: no Sérsic profile is usable")
        return None
    positions = positions[usable]
    chosen = {name: values[usable] for name, values in chosen.items()}
    psfs = observation.psfs(positions)[:, 0]
    light = sersic.draw(chosen, psfs, run.model.image_size, run.pixel_scale)[:, None]
    if observation.peak:
        return observation.normalised(light, "test", positions), positions
    return observation.with_noise(light, positions, seed), positions
