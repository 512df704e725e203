"""The verdict on a trained model: its reconstructions beside an all-zero image, and its edges."""

import numpy as np

from galgen.data.edges import edge_pixels

PEAK = "peak"
GALAXIES = 512
"""Of the validation part, on which a model is judged."""
TOGETHER = 64
"""Galaxies reconstructed at a time."""
POOR = 0.5
"""Share of the light below which a model's reconstructions are poor."""
PEDESTAL = 0.02
"""Share of a stamp's light in a constant level, beyond the survey's, that is worth a warning."""


def judge(model, datamodule) -> dict:
    """Judge a model by validation galaxies.

    Args:
        model: with the weights that the run keeps, in eval mode.
        datamodule: of the survey, set up.

    Returns:
        `galaxies`, their number; on the model's scale and by pixel, `squared_error` of the
        reconstructions, `squared_error_of_zero`, that of an all-zero image, and, where the noise is
        known and white, `noise`, its variance; `explained`, the share of the squared light above
        the noise that the reconstructions account for; and `edge`, the share of a stamp's light
        that is a constant level: `median`, `low` and `high` (5 and 95 %) of the reconstructions,
        and `survey`, the median of the galaxies themselves.
    """
    n = min(GALAXIES, len(datamodule.parts["val"]))
    rows = [
        _compare(model, datamodule, np.arange(start, min(start + TOGETHER, n)))
        for start in range(0, n, TOGETHER)
    ]
    error, zero, noise, edge, edge_of_survey = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    noise = float(noise.mean()) if np.isfinite(noise).all() else None
    light = zero.mean() - (noise or 0)
    found = {
        "galaxies": n,
        "squared_error": float(error.mean()),
        "squared_error_of_zero": float(zero.mean()),
        "noise": noise,
        "explained": float(1 - (error.mean() - (noise or 0)) / light) if light > 0 else None,
    }
    edge = spread(edge)
    if edge:
        found["edge"] = {**edge, "survey": spread(edge_of_survey).get("median", 0.0)}
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


def cautions(verdict: dict | None) -> list[str]:
    """Say what a user of the model must know, in sentences; nothing of a good model.

    Args:
        verdict: of `judge`; None where the run has none.
    """
    if not verdict:
        return []
    found, explained = [], verdict["explained"]
    if explained is not None and explained <= 0:
        found.append(
            f"this model failed: {summary(verdict)}; train longer, or with another learning rate"
        )
    elif explained is not None and explained < POOR:
        found.append(f"this model is poor: {summary(verdict)}; train longer")
    edge = verdict.get("edge")
    if edge and edge["median"] - max(edge["survey"], 0) > PEDESTAL:
        found.append(
            f"galaxies of this model stand on a pedestal: {edge['median']:.0%} of a stamp's light "
            f"(5 to 95 %: {edge['low']:.0%} to {edge['high']:.0%}) is a constant level, which the "
            f"survey's galaxies do not have ({max(edge['survey'], 0):.0%}); edge=subtract takes it "
            "off generated galaxies"
        )
    return found


def edge_level(images: np.ndarray) -> np.ndarray:
    """Return the level on which galaxies stand, the median of the outermost pixels.

    Args:
        images: (N, H, W).

    Returns:
        Array (N,), in the unit of the images.
    """
    return np.median(edge_pixels(images), axis=-1)


def edge_share(images: np.ndarray) -> np.ndarray:
    """Return the share of the light of images (N, H, W) in their edge's level, (N,).

    It is NaN of an image whose pixels do not sum to a positive number.
    """
    total = images.sum(axis=(1, 2), dtype=float)
    pixels = images.shape[1] * images.shape[2]
    return edge_level(images) * pixels / np.where(total > 0, total, np.nan)


def _compare(model, datamodule, positions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compare galaxies with reconstructions: error, zero's, noise, edge shares of both, (n,)."""
    batch = model.transfer_batch_to_device(datamodule.batch("val", positions), model.device, 0)
    again = model.reconstruct(batch.image, batch.redshift if model.conditional else None).float()
    error, zero = (
        light.double().square().mean(dim=(1, 2)).cpu().numpy()
        for light in (batch.image - again, batch.image)
    )
    noise = np.full(len(positions), np.nan)
    if batch.noise_variance is not None and not _normalised(datamodule):
        noise = batch.noise_variance.cpu().double().numpy()
    inverse = datamodule.transform.inverse
    seen = [inverse(image).cpu().double().numpy() for image in (again, batch.image)]
    return error, zero, noise, *map(edge_share, seen)


def _normalised(datamodule) -> bool:
    """Say whether the transform cuts the noise off below the background."""
    return type(datamodule.transform).__name__.lower() == PEAK
