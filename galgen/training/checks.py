"""Whether a model and a survey go together."""

from galgen.errors import GalgenError

LEAST_CONTRAST = 1
"""Of the brightest pixel over `model.flux_scale`."""


def needs(model) -> tuple[str, ...]:
    """Name what a model needs to know of its survey's galaxies: columns, PSFs, the noise."""
    needed = {
        "redshift": model.conditional,
        "noise_variance": getattr(model.likelihood, "needs_noise", False),
        "noise_correlation": getattr(model.likelihood, "needs_correlation", False),
        "psf": model.psf_free,
    }
    return tuple(name for name, wanted in needed.items() if wanted)


def check_fit(model, datamodule) -> None:
    """Check that the model can produce the survey's pixels.

    Args:
        model: of `galgen.models`.
        datamodule: the survey, set up.

    Raises:
        GalgenError: if pixels lie outside the model's output, or the bands differ.
    """
    bands = datamodule.stamps.bands
    if len(bands) != model.bands:
        raise GalgenError(
            f"model.bands: the model has {model.bands} bands, {datamodule.file} has {len(bands)}. "
            f"Give data.bands=[{','.join(bands)}]."
        )
    low, high = datamodule.value_range
    if model.flux_scale is not None and high < LEAST_CONTRAST * model.flux_scale:
        linear = type(datamodule.transform).__name__ == "Physical"
        raise GalgenError(
            f"model.flux_scale={model.flux_scale:g}: this is not small beside the brightest pixel, "
            f"{high:.3g} on the model's scale. Use "
            + ("" if linear else "transform=none, in units of the noise, or ")
            + f"model.flux_scale={0.01 * high:.2g}"
        )
    output = type(model.output).__name__.lower()
    if output == "sigmoid" and model.flux_scale is None and (low < 0 or high > 1):
        transform = type(datamodule.transform).__name__.lower()
        raise GalgenError(
            "model.output=sigmoid makes pixels between 0 and 1, and the survey's are not after "
            f"the transform '{transform}'. Give model.output=softplus or none, or transform=peak."
        )
