"""Control galaxies, made without a prior, whose scores show how good a score can be."""

import numpy as np

from galgen.evaluation import sersic
from galgen.evaluation.observation import Observation


def draw_sersic_profiles(
    observation: Observation, positions: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw the Sérsic profiles of test galaxies as they are measured.

    A galaxy has the same profile in all bands, and in each its flux and its PSF.

    Args:
        observation: of the run; it notes why there are none.
        positions: of the galaxies in the test part, (N,).
        seed: of the noise.

    Returns:
        Images (n, B, H, W) and positions (n,) of the galaxies whose profile is usable; None where
        no galaxy has one.
    """
    run, bands = observation.run, observation.run.model.bands
    stamps, rows = run.survey.stamps, run.survey.parts["test"].rows[positions]
    parameters = sersic.sersic_columns(stamps.columns)
    if parameters is None or "psf" not in stamps.stacks or run.pixel_scale is None:
        observation.notes.append(
            "no parametric control: the survey has no Sérsic profiles or no PSF"
        )
        return None
    flux = parameters.pop("flux")[rows].reshape(len(rows), -1)
    if flux.shape[1] != bands:
        observation.notes.append(
            "no parametric control: the survey's Sérsic profiles have one flux for all bands"
        )
        return None
    flux = np.where(stamps.has_band[rows], flux, 0)
    chosen = {name: values[rows] for name, values in parameters.items()}
    usable = np.isfinite(np.column_stack([*chosen.values(), flux])).all(axis=1)
    usable &= chosen["radius"] > 0
    usable &= stamps.columns.get("has_psf", np.ones(len(stamps)))[rows] > 0
    if not usable.any():
        observation.notes.append("no parametric control: no Sérsic profile is usable")
        return None
    positions, flux = positions[usable], flux[usable]
    chosen = {name: values[usable] for name, values in chosen.items()}
    psfs = observation.psfs(positions)
    drawn = [
        sersic.draw(
            {**chosen, "flux": flux[:, band]}, psfs[:, band], run.model.image_size, run.pixel_scale
        )
        for band in range(bands)
    ]
    light = np.stack(drawn, axis=1)
    if observation.peak:
        return observation.normalised(light, "test", positions), positions
    return observation.with_noise(light, positions, seed), positions
