"""The facts of a run's images: their unit, scale and bands."""

from pathlib import Path

from omegaconf import DictConfig

from galgen.data.bands import UNKNOWN_BAND
from galgen.errors import GalgenError

PEAK = "peak"
"""Unit of images that are scaled to their brightest pixel."""
UNKNOWN = "unknown"
"""Unit of images whose stamp file has none."""


class ImageFacts:
    """Facts of the images of a run, from its data.json and its config."""

    directory: Path
    config: DictConfig
    facts: dict

    @property
    def attributes(self) -> dict:
        """What the stamp file said of itself."""
        return self.facts.get("attributes", {})

    @property
    def unit(self) -> str:
        """Unit of `physical` images: that of the stamp file, or the peak of each galaxy."""
        if self.facts["transform"]["name"] == PEAK:
            return PEAK
        unsaid = UNKNOWN if "galgen_schema" in self.attributes else PEAK
        return str(self.attributes.get("unit") or unsaid)

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel, arcsec, where it is known."""
        scale = self.attributes.get("pixel_scale", self.config.data.get("pixel_scale"))
        if scale is not None and not (isinstance(scale, float | int) and scale > 0):
            raise GalgenError(f"{self.directory}/data.json: its pixel_scale is {scale!r}.")
        return scale

    @property
    def light_scale(self) -> float | None:
        """Side of a pixel of the light that the model makes, arcsec, where it is known."""
        scale = self.pixel_scale
        return None if scale is None else scale / self.config.model.get("oversampling", 1)

    @property
    def bands(self) -> list[str]:
        """Names of the bands, B of them."""
        return list(self.facts.get("bands") or self.config.data.get("bands") or [UNKNOWN_BAND])

    @property
    def reference(self) -> int:
        """Number of the band in which shapes are measured and magnitudes are conditions."""
        name = self.attributes.get("reference_band")
        return self.bands.index(name) if name in self.bands else 0

    @property
    def colour_zero_points(self) -> list[float | None]:
        """Zero points up to a constant, (B,): images that are scaled to a peak keep colours too."""
        if self.facts["transform"].get("per_band"):
            return [None] * len(self.bands)
        return self.attributes.get("zero_point", [None] * len(self.bands))

    @property
    def zero_points(self) -> list[float | None]:
        """AB magnitude of one unit in each band, (B,), where images have a unit and it is known."""
        unknown = [None] * len(self.bands)
        return unknown if self.unit == PEAK else self.attributes.get("zero_point", unknown)
