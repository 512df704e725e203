"""The verdict on a trained model: its reconstructions beside an all-zero image, and its edges."""

import numpy as np

from galgen.data.edges import edge_level

GALAXIES = 512
"""Of the validation part, on which a model is judged."""
BLOCK = 64
"""Galaxies reconstructed at a time."""
POOR = 0.5
"""Share of the light below which a model's reconstructions are poor."""
CHECKERED = 5.0
"""Power of a pattern of pixels over its surroundings that is worth a warning."""
ROUNDING = 1e-8
"""Share of the largest power in images, below which a pattern may be rounding errors."""
PEDESTAL = 0.02
"""Share of a stamp's light in a constant level, beyond the survey's, that is worth a warning."""


def judge(model, datamodule) -> dict:
    """Judge a model by validation galaxies.

    Args:
        model: with the weights that the run keeps, in eval mode.
        datamodule: of the survey, set up.

    Returns:
        `galaxies`, their number; on the model's scale and by pixel, `squared_error` of the
        reconstructions, `squared_error_of_zero`, that of an all-zero image, both of the galaxies
        whose noise is known, if there are any, and of pixels that count; where the noise is known
        and white, `noise`, its variance; `explained`, the share of the squared light above
        the noise that the reconstructions account for; `checkerboard` of the reconstructions; and
        `edge`, the share of a stamp's light that is a constant level: `median`, `low` and `high` (5
        and 95 %) of the reconstructions, and `survey`, the median of the galaxies themselves.
    """
    n = min(GALAXIES, len(datamodule.parts["val"]))
    blocks = [
        _reconstruct(model, datamodule, np.arange(start, min(start + BLOCK, n)))
        for start in range(0, n, BLOCK)
    ]
    image, again, weight, noise = (np.concatenate(column) for column in zip(*blocks, strict=True))
    image = image * weight
    known = np.isfinite(noise).all(axis=1)
    rows = known if known.any() else slice(None)
    error, zero = (
        float((np.square(light[rows], dtype=float) * weight[rows]).sum() / weight[rows].sum())
        for light in (image - again, image)
    )
    if known.any():
        noise = float(np.average(noise[known], weights=weight[known].sum(axis=(2, 3))))
    else:
        noise = None
    light = zero - (noise or 0)
    found = {
        "galaxies": n,
        "squared_error": error,
        "squared_error_of_zero": zero,
        "noise": noise,
        "explained": 1 - (error - (noise or 0)) / light if light > 0 else None,
        "checkerboard": checkerboard(again),
    }
    seen, survey = (edge_share(datamodule.physical(images)) for images in (again, image))
    edge = spread(seen)
    if edge:
        found["edge"] = {**edge, "survey": spread(survey).get("median", 0.0)}
    return found


def spread(values: np.ndarray) -> dict[str, float]:
    """Return the `median`, `low` and `high` (5 and 95 %) of values (N,); nothing if all are NaN."""
    if not np.isfinite(values).any():
        return {}
    levels = np.nanpercentile(values, [50, 5, 95]).tolist()
    return dict(zip(("median", "low", "high"), levels, strict=True))


def summary(verdict: dict) -> str:
    """Say in a sentence how good the reconstructions are."""
    noise = "" if verdict["noise"] is None else f", the noise {verdict['noise']:.3g}"
    squares = (
        f"squared error {verdict['squared_error']:.3g} a pixel on the model's scale, an all-zero "
        f"image {verdict['squared_error_of_zero']:.3g}{noise}"
    )
    if verdict["explained"] is None:
        return f"validation galaxies do not stand out of their noise ({squares})"
    if verdict["explained"] <= 0:
        return f"reconstructions are no better than an all-zero image ({squares})"
    return f"reconstructions account for {verdict['explained']:.0%} of the light ({squares})"


def is_poor(verdict: dict) -> bool:
    """Say whether the reconstructions miss much of the light."""
    return verdict["explained"] is not None and verdict["explained"] < POOR


def level(edge: dict[str, float], whose: str) -> str:
    """Say how much of some light is a constant level, by its `spread` over galaxies."""
    return (
        f"{edge['median']:.0%} of {whose} light (5 to 95 %: {edge['low']:.0%} to "
        f"{edge['high']:.0%}) is a constant level"
    )


def sentences(verdict: dict | None) -> list[str]:
    """Return the cautions with a capital letter and a full stop."""
    return [f"{caution[0].upper()}{caution[1:]}." for caution in cautions(verdict)]


def cautions(verdict: dict | None) -> list[str]:
    """Return what a user of the model must know; nothing for a good model.

    Args:
        verdict: of `judge`; None where the run has none.
    """
    if not verdict:
        return []
    found, poor = [], is_poor(verdict)
    if poor and verdict["explained"] <= 0:
        found.append(
            f"this model failed: {summary(verdict)}. Train longer, or with another learning rate"
        )
    elif poor:
        doubt = ", or much of that light is noise, which is not known"
        unsure = doubt if verdict.get("noise") is None else ""
        found.append(f"this model is poor{unsure}: {summary(verdict)}. Train longer")
    if verdict.get("checkerboard", 0) > CHECKERED:
        found.append(
            "images of this model have a checkerboard pattern: their power at a period of two "
            f"pixels is {min(verdict['checkerboard'], 1000):.0f} times that beside it"
        )
    edge = verdict.get("edge")
    if edge and edge["median"] - max(edge["survey"], 0) > PEDESTAL:
        share = level(edge, "a stamp's")
        found.append(
            f"galaxies of this model stand on a pedestal: {share}, and "
            f"{max(edge['survey'], 0):.0%} of the survey's galaxies' light; generate and "
            "galsim_objects take it off with edge=subtract"
        )
    return found


def edge_share(images: np.ndarray) -> np.ndarray:
    """Return the share of the light of images (..., H, W) in their edge's level, (...,).

    It is 1 at most, and NaN of an image whose pixels do not sum to a positive number.
    """
    total = images.sum(axis=(-2, -1), dtype=float)
    pixels = images.shape[-2] * images.shape[-1]
    return np.minimum(edge_level(images) * pixels / np.where(total > 0, total, np.nan), 1.0)


def checkerboard(images: np.ndarray) -> float:
    """Return how far the power of a pattern with a period of two pixels stands out.

    Transposed convolutions leave such patterns (Odena et al. 2016). The power is the mean over
    images, over that of wavenumbers beside it in the direction of the pattern; an image without a
    pattern has about 1 or less.

    Args:
        images: (..., H, W).
    """
    sides = images.shape[-2:]
    # Light at the edges of a stamp, which is not periodic, has power at all wavenumbers.
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in sides))
    power = (np.abs(np.fft.fft2(images * window)) ** 2).reshape(-1, *sides).mean(axis=0)
    found, rounding = [], max(ROUNDING * power.max(), np.finfo(float).tiny)
    for down, across in ((1, 0), (0, 1), (1, 1)):
        y, x = down * (sides[0] // 2), across * (sides[1] // 2)
        near = [
            power[(y + down * step) % sides[0], (x + across * step) % sides[1]]
            for step in (-3, -2, 2, 3)
        ]
        found.append(power[y, x] / max(np.median(near), rounding))
    return float(max(found))


def _reconstruct(model, datamodule, positions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return galaxies, reconstructions, weights (n, B, H, W) and the variance of the noise.

    All are on the model's scale; the variance, (n, B), is NaN where it is not known, or cut off at
    the background.
    """
    import torch  # here, because a verdict is read without it

    batch = datamodule.batch("val", positions).to(model.device)
    with torch.no_grad():
        again = model.reconstruct(batch)
    noise = np.full(batch.image.shape[:2], np.nan)
    if batch.noise_variance is not None and datamodule.transform.keeps_noise:
        noise = batch.noise_variance.cpu().numpy()
    weight = batch.image.new_ones(batch.image.shape) if batch.weight is None else batch.weight
    return *(array.float().cpu().numpy() for array in (batch.image, again, weight)), noise
