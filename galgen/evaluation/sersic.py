"""Galaxies as smooth profiles: the parametric simulations that a generative model is to beat."""

import os

import galsim
import numpy as np
from joblib import Parallel, delayed

RADII = {"sersic_radius": True, "flux_radius": False}
"""Columns of half-light radii, arcsec, and whether they are those of the major axis."""
FLUXES = ("sersic_flux", "flux")
NEEDED = ("sersic_index", "axis_ratio")
INDICES = (0.3, 6.2)
"""Sérsic indices that GalSim draws."""
STEP = 0.05
"""Of the index: GalSim tabulates each once."""


def sersic_columns(table: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Find the parameters of a survey's Sérsic profiles.

    Args:
        table: the survey's columns.

    Returns:
        `index`, `radius` (circularised half-light radius, arcsec), `ratio`, `angle` (degrees),
        (N,) each, and `flux`, (N, B) where the survey has it in each band, else (N,); None where
        one is not known.
    """
    radius = next((name for name in RADII if name in table), None)
    flux = next((name for name in FLUXES if name in table), None)
    if radius is None or flux is None or any(name not in table for name in NEEDED):
        return None
    ratio = np.clip(table["axis_ratio"].astype(float), 0.05, 1)
    size = table[radius] * np.sqrt(ratio) if RADII[radius] else table[radius]
    return {
        "index": np.clip(np.round(table["sersic_index"] / STEP) * STEP, *INDICES),
        "radius": size.astype(float),
        "ratio": ratio,
        "angle": table.get("position_angle", np.zeros(len(ratio))).astype(float),
        "flux": table[flux].astype(float),
    }


def draw(
    parameters: dict[str, np.ndarray], psfs: np.ndarray, size: int, pixel_scale: float
) -> np.ndarray:
    """Draw Sérsic profiles through PSFs, without noise.

    Args:
        parameters: of `sersic_columns`, (N,) each.
        psfs: (N, h, w).
        size: side of the images, px.
        pixel_scale: arcsec.

    Returns:
        Images (N, size, size), float32.
    """
    rows = [
        dict(zip(parameters, row, strict=True)) for row in zip(*parameters.values(), strict=True)
    ]
    blocks = np.array_split(np.arange(len(rows)), 4 * os.cpu_count())
    work = (
        delayed(_draw_block)([rows[i] for i in block], psfs[block], size, pixel_scale)
        for block in blocks
        if len(block)
    )
    return np.concatenate(Parallel(n_jobs=-1)(work))


def _draw_block(rows: list[dict], psfs: np.ndarray, size: int, pixel_scale: float) -> np.ndarray:
    galsim.set_omp_threads(1)
    return np.stack(
        [_draw_one(row, psf, size, pixel_scale) for row, psf in zip(rows, psfs, strict=True)]
    )


def _draw_one(row: dict, psf: np.ndarray, size: int, pixel_scale: float) -> np.ndarray:
    shear = galsim.Shear(q=row["ratio"], beta=row["angle"] * galsim.degrees)
    profile = galsim.Sersic(row["index"], half_light_radius=row["radius"], flux=row["flux"])
    image = galsim.Image(np.ascontiguousarray(psf, dtype=float), scale=pixel_scale)
    seen = galsim.Convolve(profile.shear(shear), galsim.InterpolatedImage(image, flux=1.0))
    seen = seen.withGSParams(folding_threshold=0.02)
    return seen.drawImage(nx=size, ny=size, scale=pixel_scale, method="no_pixel").array
