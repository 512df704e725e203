"""How the shapes of galaxies answer to shear: whether they may calibrate a lensing survey.

The response of a measured ellipticity to shear depends on what galaxies look like, so a model whose
galaxies answer differently from the survey's would bias a calibration by that difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import galsim
import numpy as np
from joblib import Parallel, delayed

from galgen.evaluation.observation import Observation
from galgen.evaluation.two_samples import FEWEST, floor_of_halves

SHEAR = 0.02
"""Reduced shear that is applied, with either sign."""
SHEARED = 4000
"""Galaxies of each sample whose response is measured, before the faint ones are left out."""
LIMIT = 24.5
"""Faintest galaxies that are sheared, mag: a lensing sample."""
SIGNAL = 10.0
"""Signal-to-noise of the faintest of them, in the circle of the PSF's full width at half maximum
as its radius, on noisy images."""
SIDE = 6.4
"""Of the images, arcsec, at least."""
BLOCK = 50


@dataclass(frozen=True)
class Instrument:
    """A telescope that galaxies are sheared for."""

    psf: galsim.GSObject
    fwhm: float
    """Of the PSF, arcsec."""
    pixel: float
    """Side of a pixel, arcsec."""


INSTRUMENTS = {
    "ground": Instrument(galsim.Moffat(beta=3.5, fwhm=0.7), 0.7, 0.2),
    "space": Instrument(galsim.Airy(lam=700, diam=1.2, obscuration=0.33), 0.13, 0.1),
}
"""By name: like LSST, and like Euclid's visible instrument."""


def shear_response(
    light: np.ndarray,
    pixel_scale: float,
    instrument: Instrument,
    noises: Sequence[float],
    processes: int = -1,
) -> np.ndarray:
    """Measure how the ellipticity of galaxies changes with shear.

    Args:
        light: in front of the telescope, (N, H, W).
        pixel_scale: of the light, arcsec.
        instrument: that sees it.
        noises: standard deviations of a pixel of the instrument, of K measurements; the noise is
            the same for both signs.
        processes: how many share the work; all cores where -1.

    Returns:
        (e1(+g) - e1(-g)) / 2 g of the adaptive moments' distortion e1 (Hirata & Seljak 2003),
        (K, N); NaN where one of the two does not converge.
    """
    work = (
        delayed(_responses)(light[start : start + BLOCK], pixel_scale, instrument, noises, start)
        for start in range(0, len(light), BLOCK)
    )
    found = Parallel(processes if len(light) > BLOCK else 1)(work)
    return np.concatenate(found, axis=1) if found else np.empty((len(noises), 0))


def shear_facts(
    observation: Observation, positions: np.ndarray, light: dict[str, np.ndarray]
) -> dict:
    """Return what evaluation.json says of shear; nothing where the true light is not known.

    Args:
        observation: of the run.
        positions: of the test galaxies, (N,).
        light: generated, in front of the telescope, (M, H, W) by prior.
    """
    run, real = observation.run, observation.light(positions[:SHEARED])
    if real is None or run.pixel_scale is None:
        return {}
    given = run.pixel_scale, run.zero_points[run.reference]
    return {"shear": compare_responses(real, light, *given)}


def compare_responses(
    real: np.ndarray,
    generated: dict[str, np.ndarray],
    pixel_scale: float,
    zero_point: float | None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Compare the shear responses of samples of generated galaxies with that of the survey's.

    Args:
        real: the survey's light in front of the telescope, (N, H, W).
        generated: (M, H, W) by name of the sample, in the same unit.
        pixel_scale: arcsec.
        zero_point: AB magnitude of flux 1; where None, the brighter half of the galaxies is
            sheared.

    Returns:
        By sample, then by instrument, without and with noise: mean `real` and `generated`
        response, their `difference`, its standard `error`, and the `floor`: the difference of
        halves of the survey's, scaled to as many galaxies. Nothing of too few galaxies.
    """
    bright = np.median(real.sum(axis=(1, 2)))
    if zero_point is not None:
        bright = 10 ** (0.4 * (zero_point - LIMIT))
    of_survey = _responses_of_bright(real, bright, pixel_scale)
    found = {}
    for sample, light in generated.items():
        made = _responses_of_bright(light, bright, pixel_scale) if of_survey else {}
        found[sample] = {
            name: _compared(of_survey[name], made[name]) for name in of_survey if name in made
        }
    return found


def _responses_of_bright(
    light: np.ndarray, bright: float, pixel_scale: float
) -> dict[str, np.ndarray]:
    """Measure galaxies of at least a flux by instrument, without and with noise.

    What too few galaxies are measured in is left out.
    """
    light = light[light.sum(axis=(1, 2)) >= bright]
    if len(light) < 2 * FEWEST:
        return {}
    found = {}
    for name, instrument in INSTRUMENTS.items():
        area = np.pi * (instrument.fwhm / instrument.pixel) ** 2
        noises = {name: 0.0, f"{name} with noise": bright / SIGNAL / np.sqrt(area)}
        responses = shear_response(light, pixel_scale, instrument, list(noises.values()))
        finite = (values[np.isfinite(values)] for values in responses)
        found |= {n: v for n, v in zip(noises, finite, strict=True) if len(v) >= 2 * FEWEST}
    return found


def _compared(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Compare the responses of galaxies, (N,) and (M,)."""
    variance = real.var(ddof=1) / len(real) + generated.var(ddof=1) / len(generated)
    return {
        "real": float(real.mean()),
        "generated": float(generated.mean()),
        "difference": float(generated.mean() - real.mean()),
        "error": float(np.sqrt(variance)),
        "floor": floor_of_halves(
            real, len(generated), lambda one, other: abs(one.mean() - other.mean())
        ),
        "galaxies": [len(real), len(generated)],
    }


def _responses(
    light: np.ndarray,
    pixel_scale: float,
    instrument: Instrument,
    noises: Sequence[float],
    start: int,
) -> np.ndarray:
    """Measure a block of galaxies, the first of number `start`, (K, N)."""
    side = 2 * int(np.ceil(max(SIDE, light.shape[-1] * pixel_scale) / instrument.pixel / 2))
    ellipticity = np.empty((2, len(noises), len(light)))
    for number, image in enumerate(light.astype(float)):
        galaxy = galsim.InterpolatedImage(galsim.Image(image, scale=pixel_scale))
        normal = np.random.default_rng(start + number).standard_normal((side, side))
        for sign, shear in enumerate((SHEAR, -SHEAR)):
            seen = galsim.Convolve(galaxy.shear(g1=shear), instrument.psf)
            drawn = seen.drawImage(nx=side, ny=side, scale=instrument.pixel, dtype=float).array
            for k, noise in enumerate(noises):
                noisy = galsim.Image(drawn + noise * normal, scale=instrument.pixel)
                moments = galsim.hsm.FindAdaptiveMom(noisy, strict=False)
                good = moments.moments_status == 0
                ellipticity[sign, k, number] = moments.observed_e1 if good else np.nan
    return (ellipticity[0] - ellipticity[1]) / (2 * SHEAR)
