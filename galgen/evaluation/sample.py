"""A sample of galaxies, measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galgen.evaluation.morphology.measure import count_flags, measure


@dataclass
class Sample:
    """Measured statistics of N galaxies, with what else is known of them."""

    name: str
    columns: dict[str, np.ndarray]
    """Of `galgen.evaluation.morphology.measure.measure`, and `log_flux`; those of
    `galgen.evaluation.band_statistics.measure_bands` of several bands; (N,) each."""
    redshift: np.ndarray | None = None
    """(N,)"""
    features: np.ndarray | None = None
    """Of an encoder, (N, D); NaN where an image is not finite."""

    def __len__(self) -> int:
        return len(self.columns["flag"])

    def __getitem__(self, rows: np.ndarray | slice) -> "Sample":
        return Sample(
            self.name,
            {name: column[rows] for name, column in self.columns.items()},
            None if self.redshift is None else self.redshift[rows],
            None if self.features is None else self.features[rows],
        )

    @property
    def known_features(self) -> np.ndarray:
        """The features of galaxies whose image is finite, (n, D)."""
        return self.features[np.isfinite(self.features).all(axis=1)]

    def table(self, names: Sequence[str]) -> np.ndarray:
        """Return statistics as an array (N, len(names)), NaN where one is missing."""
        return np.stack([self.columns[name] for name in names], axis=1)

    def complete(self, names: Sequence[str]) -> np.ndarray:
        """Return which galaxies have all of some statistics, (N,) of bool."""
        return np.isfinite(self.table(names)).all(axis=1)

    def known(self, names: Sequence[str]) -> dict[str, int]:
        """Count the galaxies that have each of some statistics."""
        return {name: int(np.isfinite(self.columns[name]).sum()) for name in names}

    def causes(self, names: Sequence[str]) -> dict[str, int]:
        """Count the galaxies that lack one of some statistics, and why."""
        lacking = ~self.complete(names)
        return {
            "galaxies": len(self),
            "left_out": int(np.count_nonzero(lacking)),
            **count_flags(self.columns["flag"][lacking]),
        }


def measured(
    name: str,
    images: np.ndarray,
    pixel_scale: float,
    zero_point: float | None = None,
    noise_variance: np.ndarray | None = None,
    redshift: np.ndarray | None = None,
) -> Sample:
    """Measure images as a sample.

    Args:
        name: of the sample.
        images: (N, H, W).
        pixel_scale: arcsec.
        zero_point: AB magnitude of flux 1.
        noise_variance: of a pixel, (N,).
        redshift: (N,).
    """
    columns = measure(images, pixel_scale, zero_point, noise_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_flux = np.log10(columns["flux"])
    columns["log_flux"] = np.where(np.isfinite(log_flux), log_flux, np.nan)
    return Sample(name, columns, redshift)
