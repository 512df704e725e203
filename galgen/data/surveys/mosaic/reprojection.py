"""An image brought to the grid of another band, section by section."""

import numpy as np
from astropy.wcs.wcsapi import SlicedLowLevelWCS

from galgen.data.surveys.mosaic import detection, missing
from galgen.data.surveys.mosaic.band_image import BandImage, Facts, Pixels
from galgen.data.surveys.photometry import is_surface_brightness

POINTS = 17
"""Points along a side of a section at which its place in the other image is computed."""
MARGIN = 8
"""Pixels, of the larger ones, that resampling may need around that place."""
BLUR = 0.65
"""Width (sigma) of the Gaussian of reproject's anti-aliasing, in the larger pixels of the two."""


class Reprojected:
    """An image of a band, resampled onto another grid by reproject's adaptive algorithm.

    DeForest (2004, Solar Physics 219, 3) averages where the new pixels are larger and interpolates
    where they are smaller. Fluxes by pixel are conserved: they scale with the area of the pixels,
    surface brightnesses do not. The noise of a pixel becomes that whose sum over many pixels is
    right; neighbouring pixels are correlated, so that they scatter less.

    Args:
        image: of the band.
        target: the facts of an image on the new grid.
        unit: of the image, which its header may not say.

    Attributes:
        border: None; the image's own says what is empty.
        zero_point_shift: what the zero point of one unit gains, mag.
        note: a sentence for the user.
    """

    def __init__(self, image: BandImage, target: Facts, unit: str):
        import reproject  # noqa: F401  if it is missing, the user learns it before the detection

        self.image, self.target, self.border = image, target, None
        facts = image.facts
        self._ratio = target.pixel_scale / facts.pixel_scale
        self._by_pixel = not is_surface_brightness(unit)
        self.zero_point_shift = 0.0 if self._by_pixel else float(-5 * np.log10(self._ratio))
        blur = BLUR * max(1.0, 1 / self._ratio)
        kept = "flux" if self._by_pixel else "surface brightness"
        self.note = (
            f"{facts.band} is resampled onto the grid of {target.band}, from pixels of "
            f"{facts.pixel_scale:.4f} to {target.pixel_scale:.4f} arcsec: its {kept} is conserved, "
            f"its PSF becomes wider (by a Gaussian of sigma {blur:.2f} px), and the "
            "noise of neighbouring pixels is correlated"
        )

    def read(self, section: detection.Section) -> Pixels:
        """Read a section of the new grid, as `BandImage.read` does."""
        from reproject import reproject_adaptive

        shape = tuple(side.stop - side.start for side in section)
        data = np.full(shape, np.nan)
        noise = None if self.image.noise_map is None else data.copy()
        why = np.full(shape, missing.OUTSIDE, np.uint8)
        source = self._source(section)
        if source is None:
            return data, noise, why
        pixels, sigma, reason = self.image.read(source)
        stack = np.stack([pixels] if sigma is None else [pixels, sigma])
        there = SlicedLowLevelWCS(self.image.facts.wcs, source)
        here = SlicedLowLevelWCS(self.target.wcs, section)
        resampled = reproject_adaptive(
            (stack, there), here, shape, conserve_flux=self._by_pixel, return_footprint=False
        )
        unknown = ~np.isfinite(resampled).all(axis=0)
        resampled[:, unknown] = np.nan
        why = np.zeros(shape, np.uint8)
        why[unknown] = self._reasons(section, source, reason, unknown)
        # The error of a sum over an area, not of a pixel, is what resampling leaves as it is.
        return resampled[0], None if sigma is None else resampled[1] / self._ratio, why

    def _source(self, section: detection.Section) -> detection.Section | None:
        """Return the section of the image that covers one of the new grid; None where none does."""
        y, x = np.meshgrid(*(np.linspace(s.start, s.stop - 1, POINTS) for s in section))
        places = self._places(x, y)
        margin = int(np.ceil(MARGIN * max(1.0, self._ratio)))
        found = []
        for place, side in zip(places[::-1], self.image.facts.shape, strict=True):
            if not np.isfinite(place).all():  # beyond the projection
                found.append(slice(0, side))
                continue
            start, stop = np.floor(place.min()) - margin, np.ceil(place.max()) + 1 + margin
            found.append(slice(*(int(np.clip(edge, 0, side)) for edge in (start, stop))))
        return tuple(found) if all(part.stop > part.start for part in found) else None

    def _places(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y in the image of some pixels of the new grid."""
        return self.image.facts.wcs.world_to_pixel(self.target.wcs.pixel_to_world(x, y))

    def _reasons(
        self,
        section: detection.Section,
        source: detection.Section,
        reason: np.ndarray,
        unknown: np.ndarray,
    ) -> np.ndarray:
        """Return why the unknown pixels (H, W) of a section lack data: for that of the nearest."""
        y, x = np.nonzero(unknown)
        places = self._places(x + section[1].start, y + section[0].start)[::-1]
        rows, columns = (
            np.rint(np.nan_to_num(place, nan=-1e9)).astype(int) - part.start
            for place, part in zip(places, source, strict=True)
        )
        height, width = reason.shape
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = np.full(there.shape, missing.OUTSIDE, np.uint8)
        found[there] = reason[rows[there], columns[there]]
        found[there & (found == 0)] = missing.BESIDE
        return found
