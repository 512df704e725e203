"""Moments weighted with the elliptical Gaussian that fits best."""

import galsim
import numpy as np

MOMENTS = ("sigma", "ellipticity", "rho4")


def adaptive_moments(image: np.ndarray) -> dict[str, float]:
    """Measure size, shape and peakedness of the light near a stamp's centre.

    Source: Hirata & Seljak 2003; Mandelbaum et al. 2005, as GalSim has it.

    Args:
        image: (H, W), without background.

    Returns:
        `sigma`, px, `ellipticity` `|g|` and `rho4`, 2 for a Gaussian; nothing without convergence.
    """
    stamp = galsim.Image(np.ascontiguousarray(image))
    found = galsim.hsm.FindAdaptiveMom(stamp, strict=False)
    if found.error_message:
        return {}
    values = (found.moments_sigma, found.observed_shape.g, found.moments_rho4)
    return dict(zip(MOMENTS, values, strict=True))
