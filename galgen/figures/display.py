"""How a galaxy is shown: in the colours of three bands, or one band in a colour map."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from astropy.visualization import (
    AsinhStretch,
    LinearStretch,
    LogStretch,
    ManualInterval,
    make_lupton_rgb,
)

from galgen.data.bands import UNKNOWN_BAND
from galgen.data.edges import edge_pixels
from galgen.errors import GalgenError
from galgen.figures.channels import Channels, choose_channels, wavelength

PAGE = 7.1
"""Width of a page's text, inches, at which figures are legible."""
STYLES = {"paper": (PAGE, 200), "talk": (4.2, 340)}
"""Width of figures of galaxies, inches, and their dots per inch: the same letters are larger in a
figure of a talk, which has as many pixels."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Line colours that colour-blind readers can distinguish (Okabe & Ito 2008, grey for yellow)."""
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}
CMAP = "inferno"
"""Of single bands: uniform to the eye; its lightness rises, so that it can be printed in grey."""
DARK = 0.05
"""Fraction of the colour scale below which light is invisible."""
BARS = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05)
"""Lengths of a scale bar, arcsec."""
STRETCHES = {"asinh": AsinhStretch, "linear": LinearStretch, "log": LogStretch}
SOFTENING = 0.1
"""Where the asinh stretch of a single band turns from linear to logarithmic, in peaks."""
COLOUR_SOFTENING = (0.03, 1)
SIGMAS = 4
"""The softening of colour pictures is so many times the noise, between these, in peaks."""
SKY = 0.1
"""Brightness of the sky in colour pictures, on the screen: dark grey, as its noise is not cut."""
NU_F_NU, AB_FLUX = r"in ${\nu}F_{\nu}$", "in AB flux density"
"""What is white: equal energy in each logarithm of wavelength, which lies between the spectra of
early and late types; or, where the wavelengths are not known, equal flux density."""
OWN_PEAK = "each band relative to its own peak (zero points are not known)"
GAP = 1 / 32
"""Between the strips of a panel, as a share of an image."""


@dataclass(frozen=True)
class Scale:
    """What images that can be compared have in common."""

    weight: np.ndarray
    """Factors of the bands, (B,), that bring them to one flux density."""
    peak: np.ndarray
    """What is brightest: in each strip, (C,), or on average of the three colours, (1,)."""
    softening: float
    """Where the asinh stretch turns from linear to logarithmic, in peaks."""


@dataclass
class Display:
    """How a galaxy is shown.

    Args:
        cmap: a matplotlib colour map of single bands, for brightness from 0 to the peak.
        stretch: `asinh`, `linear` or `log` (of astropy.visualization).
        zoom: the middle 1 / zoom of each image is shown.
        style: `paper`, or `talk` for large letters and few galaxies.
        bands: those that are shown, as `channels.choose_channels`.
        names: of the images' bands, (B,).
        zero_points: AB magnitude of one unit in each band, up to a constant, (B,); None where
            unknown.
        reference: number of the band in which shapes are measured.
        pixel_scale: arcsec; with it, a scale bar is drawn.

    Attributes:
        channels: the bands that are red, green and blue, or that are shown alone.
        rows: how many strips lie one below the other in a panel.
        flux: what colours are ratios of, for the caption.

    Raises:
        ValueError: if there is no such colour map, stretch or style, or the zoom is below 1, or
            bands are no names or one stands twice.
        GalgenError: if the images lack a band that is to be shown.
    """

    cmap: str | None = None
    stretch: str = "asinh"
    zoom: float = 1.0
    style: str = "paper"
    bands: str | Sequence[str] | None = None
    names: Sequence[str] = (UNKNOWN_BAND,)
    zero_points: Sequence[float | None] | None = None
    reference: int = 0
    pixel_scale: float | None = None
    channels: Channels = field(init=False)

    def __post_init__(self):
        check_display(self.cmap, self.stretch, self.zoom, self.style)
        self.channels = choose_channels(self.names, self.bands, self.reference)
        self.rows = 1 if self.channels.coloured else len(self.channels.bands)
        if self.cmap and self.channels.coloured:
            raise GalgenError(
                f"cmap={self.cmap}: these pictures have the colours of several bands. Give one "
                f"band too, such as bands=[{self.names[self.reference]}], or bands=all."
            )
        shown = self._shown()
        points = [self.zero_points[band] if self.zero_points else None for band in shown]
        if None in points:
            self.flux = OWN_PEAK
        else:
            known = all(wavelength(self.names[band]) for band in shown)
            self.flux = NU_F_NU if known else AB_FLUX

    def scale(self, images: np.ndarray, peak: float | None = None) -> Scale:
        """Return the scale on which images (..., B, H, W) are shown together.

        Args:
            images: those that it is measured on.
            peak: what is brightest, where it is known; of colours, in the first band shown.
        """
        images = images.reshape(-1, *images.shape[-3:])
        weight = np.ones(images.shape[1])
        if not self.channels.coloured:
            peaks = self._planes(images, weight).max(axis=(0, 2, 3))
            return Scale(weight, peaks if peak is None else np.full(len(peaks), peak), SOFTENING)
        if self.flux == OWN_PEAK:
            peaks = images.max(axis=(0, 2, 3)).clip(min=0)
            weight = np.divide(1, peaks, out=np.zeros(len(peaks)), where=peaks > 0)
        else:
            weight = self._factors()
        planes = self._planes(images, weight)
        peak = planes.mean(axis=1).max() if peak is None else peak
        sky = edge_pixels(planes)
        noise = np.median(np.abs(sky - np.median(sky, axis=2, keepdims=True)), axis=2)
        noise = 1.4826 * np.sqrt((noise**2).mean(axis=1)).max()
        softening = SIGMAS * noise / peak if peak > 0 else 1
        return Scale(weight, np.array([peak]), float(np.clip(softening, *COLOUR_SOFTENING)))

    def pixels(self, image: np.ndarray, scale: Scale) -> np.ndarray:
        """Return what is drawn of an image (B, H, W): 0 to 1, (h, w), or colours, (h, w, 3).

        Args:
            image: the image.
            scale: its brightness.
        """
        planes = self._middle(self._planes(image, scale.weight))
        stretch = self._stretch(scale.softening)
        if not self.channels.coloured:
            strips = [
                stretch(relative(plane, peak))
                for plane, peak in zip(planes, scale.peak, strict=True)
            ]
            gap = np.full((self._gap(image), strips[0].shape[1]), np.nan)
            return np.concatenate([row for strip in strips[::-1] for row in (strip, gap)][:-1])
        [peak] = scale.peak
        if not peak > 0:
            return np.zeros((*planes.shape[1:], 3))
        sky, a = 0.0, scale.softening
        if self.stretch == "asinh":
            sky = a * np.sinh(SKY * np.arcsinh(1 / a))  # the stretch makes SKY of it
        with np.errstate(invalid="ignore", divide="ignore"):  # where there is no light
            return make_lupton_rgb(
                *planes / peak,
                interval=ManualInterval(-sky, 1),
                stretch_object=stretch,
                output_dtype=float,
            )

    def paint(self, image: np.ndarray, scale: Scale) -> np.ndarray:
        """Return red, green, blue and opacity of an image (B, H, W), (h, w, 4) uint8."""
        shown = self.pixels(image, scale)
        if shown.ndim == 2:
            return self._cmap(np.ma.masked_invalid(shown), bytes=True)
        opaque = np.ones((*shown.shape[:2], 1))
        return np.uint8(np.round(255 * np.concatenate([shown, opaque], axis=2)))

    def show(self, axis, image: np.ndarray, scale: Scale) -> None:
        """Draw an image (B, H, W), its first pixel at the lower left."""
        self._draw(axis, self.pixels(image, scale), self._cmap, 0, 1)

    def show_residual(self, axis, residual: np.ndarray, scale: Scale, limit: float) -> None:
        """Draw a residual (B, H, W) from minus to plus a share of the peak; of colours, the mean.

        Args:
            axis: to draw on.
            residual: the residual.
            scale: of the galaxy.
            limit: share of the peak.
        """
        planes = self._middle(self._planes(residual, scale.weight))
        planes = planes.mean(axis=0, keepdims=True) if self.channels.coloured else planes
        peak = np.where(scale.peak > 0, scale.peak, 1)[:, None, None]
        gap = np.full((self._gap(residual), planes.shape[2]), np.nan)
        rows = [row for strip in (planes / peak)[::-1] for row in (strip, gap)]
        self._draw(axis, np.concatenate(rows[:-1]), "RdBu_r", -limit, limit)

    def annotate(self, axis, image: np.ndarray) -> None:
        """Draw the scale bar onto an image (B, H, W), and the names of the bands onto strips."""
        side = self._side(image)
        dark = self.channels.coloured or sum(self._cmap(0.0)[:3]) < 1.5
        colour = "white" if dark else "black"
        if self.pixel_scale:
            start = 0.07 * side
            ends = [start, start + self.bar_length(image) / self.pixel_scale]
            axis.plot(ends, [start, start], color=colour, lw=1.2)
        for row in range(self.rows if self.rows > 1 else 0):
            top = (self.rows - row) * (side + self._gap(image)) - self._gap(image)
            name = self.names[self.channels.bands[row][0]]
            axis.text(0.05 * side, top - 0.05 * side, name, color=colour, fontsize=6, va="top")

    def bar_length(self, image: np.ndarray) -> float:
        """Return the length of the scale bar on an image (B, H, W), arcsec."""
        width = self._side(image) * self.pixel_scale
        return next((bar for bar in BARS if bar <= 0.45 * width), BARS[-1])

    def caption(self, image: np.ndarray, peak: str, scales: Sequence[Scale]) -> str:
        """Say how images are shown: bands, bar, stretch, brightness, what is too faint to be seen.

        Args:
            image: one of them, (B, H, W).
            peak: what is brightest, in words.
            scales: theirs.
        """
        bar = f'; bar\N{NO-BREAK SPACE}{self.bar_length(image):g}"' if self.pixel_scale else ""
        stretch = f"{self.stretch} stretch"
        if self.channels.coloured:
            text = f"{self.channels.text}, {self.flux}"
            stretch += " (Lupton et al. 2004)"
        else:
            text, peak = self.channels.text, f"{peak} in each band" if self.rows > 1 else peak
        unseen = f"; light below {self._unseen(scales)} of it is not seen"
        return f"{text}; {stretch} from 0 to {peak}{unseen}{bar}".removeprefix("; ")

    def _unseen(self, scales: Sequence[Scale]) -> str:
        """Return the faintest light that is to be seen, a share of the peak or a range of them."""
        light = np.geomspace(1e-6, 1, 601)
        ends = sorted({scale.softening for scale in scales})
        faintest = [light[np.argmax(self._stretch(a)(light) > DARK)] for a in (ends[0], ends[-1])]
        shares = dict.fromkeys(f"{100 * share:.2g}" for share in faintest)
        return " to ".join(shares) + "\N{NO-BREAK SPACE}%"

    @property
    def _cmap(self):
        return matplotlib.colormaps[self.cmap or CMAP]

    def _stretch(self, softening: float):
        parameter = {"asinh": [softening], "log": [1000]}.get(self.stretch, [])
        return STRETCHES[self.stretch](*parameter)

    def _shown(self) -> list[int]:
        """Return the numbers of the bands that are shown."""
        return sorted({band for channel in self.channels.bands for band in channel})

    def _factors(self) -> np.ndarray:
        """Return factors (B,) that bring the bands that are shown to one flux, 1 in the first."""
        factors, shown = np.ones(len(self.names)), self._shown()
        for band in shown:
            factors[band] = 10 ** (-0.4 * (self.zero_points[band] - self.zero_points[shown[0]]))
            if self.flux == NU_F_NU:
                factors[band] /= wavelength(self.names[band])
        return factors / factors[shown[0]]

    def _planes(self, images: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the channels of images (..., B, H, W), (..., C, H, W)."""
        weighted = images * weight[:, None, None]
        means = [weighted[..., list(bands), :, :].mean(axis=-3) for bands in self.channels.bands]
        return np.stack(means, axis=-3)

    def _side(self, image: np.ndarray) -> int:
        return max(1, round(image.shape[-1] / self.zoom))

    def _gap(self, image: np.ndarray) -> int:
        return max(1, round(GAP * self._side(image)))

    def _middle(self, planes: np.ndarray) -> np.ndarray:
        """Return the pixels of planes (C, H, W) that are shown, (C, h, w)."""
        side = self._side(planes)
        start = (planes.shape[-1] - side) // 2
        return planes[:, start : start + side, start : start + side]

    @staticmethod
    def _draw(axis, shown: np.ndarray, cmap, low: float, high: float) -> None:
        style = {"origin": "lower", "interpolation": "nearest"}
        axis.imshow(shown, cmap=cmap, vmin=low, vmax=high, **style)


def relative(image: np.ndarray, peak: float) -> np.ndarray:
    """Return an image over its peak, cut to 0 to 1; 0 where there is no light."""
    return np.clip(image / peak, 0, 1) if peak > 0 else np.zeros(np.shape(image))


def check_display(cmap: str | None, stretch: str, zoom: float, style: str) -> None:
    """Check the arguments of a display that do not depend on the images.

    Raises:
        ValueError: naming the first that is out of range.
    """
    if cmap is not None and cmap not in matplotlib.colormaps:
        raise ValueError(
            f"cmap={cmap}: it takes a colour map of matplotlib, such as {CMAP}, gray_r, viridis, "
            "cividis."
        )
    for key, value, known in (("stretch", stretch, STRETCHES), ("style", style, STYLES)):
        if value not in known:
            raise ValueError(f"{key}={value}: it can be one of {', '.join(known)}.")
    if not zoom >= 1:
        raise ValueError(f"zoom={zoom}: it must be 1 or more.")
