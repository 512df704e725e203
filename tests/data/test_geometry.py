"""Pixels on the sky: square ones are taken in any orientation, others are refused."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.data.surveys.mosaic.geometry import pixel_scale, read_wcs
from galgen.errors import GalgenError

SHAPE = 200, 300
SCALE = 0.1 / 3600


def rotation(degrees: float) -> np.ndarray:
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


FLIP = np.diag([-1.0, 1.0])


def header(matrix=SCALE * FLIP, types=("RA---TAN", "DEC--TAN"), **cards) -> fits.Header:
    made = fits.Header({"CTYPE1": types[0], "CTYPE2": types[1], "CRVAL1": 150.0, "CRVAL2": 42.0})
    made.update({"CRPIX1": 100.0, "CRPIX2": 50.0, "CUNIT1": "deg", "CUNIT2": "deg"})
    if matrix is not None:
        names = "CD1_1", "CD1_2", "CD2_1", "CD2_2"
        made.update(dict(zip(names, np.ravel(matrix), strict=True)))
    made.update(cards)
    return made


def measured(made: fits.Header, shape=SHAPE) -> tuple[float, list[str]]:
    wcs = read_wcs(Path("m.fits"), made, fits.HDUList())
    return pixel_scale(Path("m.fits"), wcs, shape)


CDELT = {"CDELT1": -SCALE, "CDELT2": SCALE}
PC = dict(zip(["PC1_1", "PC1_2", "PC2_1", "PC2_2"], rotation(33).ravel(), strict=True))
SQUARE = {
    "plain": header(),
    "turned": header(SCALE * rotation(30) @ FLIP),
    "not flipped": header(SCALE * rotation(200)),
    "CDELT": header(None, **CDELT),
    "CROTA2": header(None, CROTA2=25.0, **CDELT),
    "PC": header(None, **PC, **CDELT),
    "arcsec": header(None, CDELT1=-0.1, CDELT2=0.1, CUNIT1="arcsec", CUNIT2="arcsec", CRVAL1=5e5),
    "half a per cent": header(SCALE * np.diag([-1.0025, 0.9975])),
    "galactic": header(SCALE * rotation(10) @ FLIP, ("GLON-TAN", "GLAT-TAN")),
    "ecliptic": header(types=("ELON-TAN", "ELAT-TAN")),
    "sine": header(types=("RA---SIN", "DEC--SIN")),
    "zenithal": header(types=("RA---ZEA", "DEC--ZEA")),
    "SIP": header(
        types=("RA---TAN-SIP", "DEC--TAN-SIP"), A_ORDER=2, B_ORDER=2, A_2_0=1e-6, B_0_2=0
    ),
    "TPV": header(types=("RA---TPV", "DEC--TPV"), PV1_1=1.0, PV2_1=1.0),
}


@pytest.mark.parametrize("case", SQUARE)
def test_square_pixels_in_all_orientations(case):
    scale, notes = measured(SQUARE[case])
    assert scale == pytest.approx(0.1, rel=1e-3)
    assert notes == []


SKEW = np.array([[1, np.sin(0.1)], [0, np.cos(0.1)]])
"""Axes of one length at an angle of 0.1 rad off a right one."""
OBLONG = {
    "oblong": (np.diag([-1.0, 1.03]), "0.1000 x 0.1030 arcsec at an angle of 90.00"),
    "skewed": (FLIP @ SKEW, "0.1000 x 0.1000 arcsec at an angle of 84.27"),
    "skewed and turned": (rotation(50) @ SKEW, "0.1000 x 0.1000 arcsec at an angle of 84.27"),
    "oblong and turned on the sky": (rotation(45) @ np.diag([1, 1.1]), "0.1000 x 0.1100"),
    "along the diagonal": (np.diag([1, 1.1]) @ rotation(45), "0.1051 x 0.1051 .* of 84.55"),
}


@pytest.mark.parametrize("case", OBLONG)
def test_pixels_that_are_not_square_are_refused(case):
    matrix, words = OBLONG[case]
    with pytest.raises(GalgenError, match=f"m.fits: its pixels are not square: .*{words}"):
        measured(header(SCALE * matrix))


def test_a_scale_that_varies_is_said():
    distorted = header(types=("RA---TAN-SIP", "DEC--TAN-SIP"))
    distorted.update(A_ORDER=2, B_ORDER=2, A_2_0=1e-4, B_0_2=1e-4, CRPIX1=150.5, CRPIX2=100.5)
    scale, notes = measured(distorted)
    assert scale == pytest.approx(0.1, rel=2e-3)
    # The derivative of x + 1e-4 x^2 at 150 px from the centre.
    assert notes[0].startswith("the pixel scale is 0.1000 arcsec at the centre")
    assert "0.0970 to 0.1030 at its corners" in notes[0]
    # 3.5 and 7.1 deg off the axis of a tangential projection, 1 / cos^2 is 1.004 and 1.015.
    _, notes = measured(header(60 * SCALE * FLIP, CRPIX1=1500, CRPIX2=1500), (3000, 3000))
    assert notes == []
    _, notes = measured(header(120 * SCALE * FLIP, CRPIX1=1500, CRPIX2=1500), (3000, 3000))
    assert len(notes) == 1


@pytest.mark.parametrize("types", [("WAVE", "LINEAR"), ("LINEAR", "LINEAR"), ("", "")])
def test_images_without_a_place_on_the_sky(types):
    with pytest.raises(GalgenError, match="WCS"):
        measured(header(types=types))


def test_a_header_without_a_scale_is_refused():
    with pytest.raises(GalgenError, match=r"has no pixel scale\. Add CDELT1 and CDELT2"):
        measured(header(None))
