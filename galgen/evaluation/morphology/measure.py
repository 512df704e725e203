"""Morphology of galaxies, real and generated ones measured alike.

Every stamp passes the same steps, which follow Lotz et al. 2004 and Conselice 2003 in the form that
statmorph gave them (Rodriguez-Gomez et al. 2019): background, segmentation, Petrosian radius,
centre of symmetry, and from these all statistics. Each stamp is measured by itself, so that its
numbers do not depend on its neighbours in the array.
"""

import os
from enum import IntFlag

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from galgen.data.edges import edge_pixels
from galgen.evaluation.morphology.adaptive_moments import MOMENTS, adaptive_moments
from galgen.evaluation.morphology.galaxy import Galaxy
from galgen.evaluation.morphology.segmentation import detect

BLOCK = 64
"""Stamps that are given to a process at once."""
WORTHWHILE = 500
"""Stamps from which on other processes take part: to start them takes a second."""


class Flag(IntFlag):
    """Why statistics of a galaxy are missing or doubtful."""

    NOT_FINITE = 1
    """A pixel is NaN or infinite: nothing is measured."""
    FAINT = 2
    """No segment near the centre stands out: only the adaptive moments are measured."""
    FLUX = 4
    """The flux is not positive."""
    EDGE = 8
    """The apertures reach beyond the stamp, or the Petrosian radius does."""
    SMALL = 16
    """The window of the smoothness is one pixel: it is not measured."""
    MOMENTS = 32
    """The adaptive moments do not converge."""
    UNDEFINED = 64
    """Another statistic is not finite."""


PIXELS = ("petrosian_radius", "half_light_radius", "moment_size", "sigma")
"""Columns that are measured in px and given in arcsec."""
STATISTICS = (
    *("flux", "centroid_x", "centroid_y", "petrosian_radius", "half_light_radius"),
    *("concentration", "asymmetry", "smoothness", "gini", "m20"),
    *("residual_flux", "residual_power", "clumps"),
    *("moment_size", "moment_ellipticity", "snr"),
)
DEFINED = [name for name in STATISTICS if name not in ("smoothness", "snr")]
"""Statistics that a galaxy with flux has in any case."""


def measure(
    images: np.ndarray,
    pixel_scale: float,
    zero_point: float | None = None,
    noise_variance: np.ndarray | float | None = None,
    background: np.ndarray | float | None = None,
    hsm: bool = True,
    processes: int | None = None,
) -> dict[str, np.ndarray]:
    """Measure galaxies, one a stamp, near its centre.

    What else a stamp holds counts as sky of brightness 0. A decoder's floor, which a sigmoid never
    takes to 0, is background.

    Args:
        images: (N, H, W), with noise or without, in any unit.
        pixel_scale: side of a pixel, arcsec.
        zero_point: AB magnitude of flux 1.
        noise_variance: of a pixel, (N,) or one number; by the scatter of the outermost pixels where
            None.
        background: to be subtracted, (N,) or one number; the median of the outermost pixels where
            None.
        hsm: whether to measure adaptive moments.
        processes: how many share the work; as many as there are cores where None.

    Returns:
        Arrays (N,) by name, NaN where something could not be measured:

        - `flag`: a sum of `Flag`;
        - `flux` within 1.5 Petrosian radii and, where there is a zero point, its `magnitude`;
        - `centroid_x`, `centroid_y`: of the segment, px from the middle of the first pixel;
        - `petrosian_radius` and `half_light_radius`, arcsec, and `concentration`, in circles;
        - `asymmetry` and `smoothness`, within 1.5 Petrosian radii;
        - `gini`, `m20`, `moment_size` (arcsec), `moment_ellipticity` (`|g|`) and `snr` (mean
          signal-to-noise of a pixel, where the noise variance is given), over the Petrosian
          segmentation;
        - `residual_flux`, `residual_power` and `clumps`: what no smooth profile explains within the
          elliptical Petrosian radius (`galgen.evaluation.morphology.residual`);
        - `sigma` (arcsec), `ellipticity` (`|g|`) and `rho4`, by adaptive moments.

    Raises:
        ValueError: if the images are not a stack, or `pixel_scale` is not positive.
    """
    if np.ndim(images) != 3 or min(images.shape[1:]) < 3:
        raise ValueError(f"images must be (N, H, W), at least 3 px wide, not {np.shape(images)}")
    if not pixel_scale > 0:
        raise ValueError(f"pixel_scale={pixel_scale}: it must be positive.")
    n = len(images)
    given = [
        np.full(n, np.nan) if value is None else np.broadcast_to(np.asarray(value, float), n)
        for value in (background, noise_variance)
    ]
    blocks = [
        [array[start : start + BLOCK] for array in (images, *given)] for start in range(0, n, BLOCK)
    ]
    processes = (processes or os.cpu_count()) if n >= WORTHWHILE else 1
    work = (delayed(_measure_block)(*block, hsm) for block in blocks)
    measured = Parallel(processes)(work)
    rows = [row for block in measured for row in block]
    names = (*STATISTICS, *(MOMENTS if hsm else ()))
    columns = {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}
    columns = {
        name: np.where(np.isfinite(values), values, np.nan) for name, values in columns.items()
    }
    for name in PIXELS:
        if name in columns:
            columns[name] *= pixel_scale
    if zero_point is not None:
        positive = np.where(columns["flux"] > 0, columns["flux"], np.nan)
        columns["magnitude"] = zero_point - 2.5 * np.log10(positive)
    return columns | {"flag": np.array([row["flag"] for row in rows], np.int64)}


def count_flags(flag: np.ndarray) -> dict[str, int]:
    """Count the galaxies that each cause is true of."""
    return {cause.name.lower(): int(np.count_nonzero(flag & cause)) for cause in Flag}


def unit_of(image: np.ndarray) -> float:
    """Return the power of 2 that brings an image (H, W) to a peak of 1 to 2, with no rounding."""
    peak = float(np.abs(image).max())
    return 2.0 ** np.floor(np.log2(peak)) if 0 < peak < np.inf else 1.0


def _measure_block(
    images: np.ndarray, background: np.ndarray, noise_variance: np.ndarray, hsm: bool
) -> list[dict[str, float]]:
    """Measure stamps in units of pixels; NaN where an input is not given."""
    with threadpool_limits(1), np.errstate(divide="ignore", invalid="ignore"):
        return [
            _measure_stamp(*stamp, hsm)
            for stamp in zip(images, background, noise_variance, strict=True)
        ]


def _measure_stamp(
    image: np.ndarray, background: float, noise_variance: float, hsm: bool
) -> dict[str, float]:
    """Measure one stamp (H, W); leave out what cannot be measured."""
    unit = unit_of(image)  # squares of small units are beyond float32
    image = np.ascontiguousarray(image / unit, np.float32)
    edge = edge_pixels(image)
    image = image - np.float32(np.median(edge) if np.isnan(background) else background / unit)
    if not np.isfinite(image).all():
        return {"flag": Flag.NOT_FINITE}
    noise = np.sqrt(noise_variance) / unit
    if np.isnan(noise):
        noise = 1.4826 * np.median(np.abs(edge - np.median(edge)))
    segments, galaxy = detect(image, noise)
    row, flag = {}, Flag(0)
    if galaxy:
        row = Galaxy(image, segments, galaxy).statistics()
        row["snr"] = row["brightness"] * unit / np.sqrt(noise_variance)
        row["flux"] *= unit
        flag |= Flag.FLUX * (not row["flux"] > 0) | Flag.EDGE * (not row["complete"])
        flag |= Flag.SMALL * ("smoothness" not in row)
        flag |= Flag.UNDEFINED * (not all(np.isfinite(row.get(name, 0)) for name in DEFINED))
    else:
        flag |= Flag.FAINT
    if hsm:
        moments = adaptive_moments(image)
        row |= moments
        flag |= Flag.MOMENTS * (not moments)
    return row | {"flag": flag}
