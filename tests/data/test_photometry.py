"""Units and zero points of headers, by physics."""

import numpy as np
import pytest

from galgen.data.surveys.photometry import canonical, parse_unit, zero_point

F160W = {"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176}
SQUARE = (0.1 / 206264.80625) ** 2
"""Solid angle of a pixel of 0.1 arcsec, sr."""
F_LAMBDA = 26.6588
"""-2.5 log10(1e-20 erg/s/cm2/A * 15369.176^2 A^2 / c) - 48.6."""

UNITS = {
    "nanomaggy": ("nmgy", 22.5),
    "nMgy": ("nmgy", 22.5),
    "nanomaggies": ("nmgy", 22.5),
    "nmgy/pixel": ("nmgy / pix", 22.5),
    "1e-9 maggy": ("1e-09 mgy", 22.5),
    "maggies": ("mgy", 0.0),
    "mJy/pixel": ("mJy / pix", 16.4),
    "Jy/pixel": ("Jy / pix", 8.9),
    "Jy": ("Jy", 8.9),
    "mjy": ("mJy", 16.4),
    "Mjy": ("MJy", -6.1),
    "JY/PIXEL": ("Jy / pix", 8.9),
    "uJy": ("uJy", 23.9),
    "\u00b5Jy": ("uJy", 23.9),
    "\u03bcJy": ("uJy", 23.9),
    "UJY": ("uJy", 23.9),
    "microjansky": ("uJy", 23.9),
    "  uJy (AB)  ": ("uJy", 23.9),
    "uJy; background subtracted": ("uJy", 23.9),
    "'uJy     '": ("uJy", 23.9),
    "1e-6Jy": ("1e-06 Jy", 23.9),
    "10 nJy": ("10 nJy", 28.9),
    "nJy": ("nJy", 31.4),
    "uJy/arcsec^2": ("uJy / arcsec2", 28.9),
    "MJy/sr": ("MJy / sr", 8.9 - 2.5 * np.log10(1e6 * SQUARE)),
    "MJY/SR": ("MJy / sr", 8.9 - 2.5 * np.log10(1e6 * SQUARE)),
    "MJy": ("MJy", -6.1),
    "W/m2/Hz": ("W / (Hz m2)", -56.1),
    "1e-34 W m-2 Hz-1": ("1e-34 W / (Hz m2)", 28.9),
    "erg/s/cm^2/Hz": ("erg / (Hz s cm2)", -48.6),
    "10^-20 erg/s/cm^2/A": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "10**(-20)*erg/s/cm**2/Angstrom": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "10-20 erg/s/cm2/A": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "1e-20 erg s-1 cm-2 Angstrom-1": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "1E-20 ERG/S/CM2/A": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "1e-20 erg s^{-1} cm^{-2} A^{-1}": ("1e-20 erg / (Angstrom s cm2)", F_LAMBDA),
    "electron / s": ("electron / s", None),
    "ELECTRONS/S": ("electron / s", None),
    "e-/s": ("electron / s", None),
    "electrons per second": ("electron / s", None),
    "ELECTRONS": ("electron", None),
    "e-": ("electron", None),
    "DN": ("DN", None),
    "DN/S": ("DN / s", None),
    "COUNTS": ("ct", None),
    "counts/sec": ("ct / s", None),
    "cps": ("ct / s", None),
    "ADU": ("adu", None),
    "Jy/beam": ("Jy / beam", None),
    "MJY": ("MJY", None),
    "data  numbers": ("data numbers", None),
    "": ("unknown", None),
}


@pytest.mark.parametrize("text", UNITS)
def test_units_in_all_spellings(text):
    spelled, point = UNITS[text]
    assert canonical(text) == spelled
    found = zero_point({"BUNIT": text, "PHOTPLAM": F160W["PHOTPLAM"]}, 0.1)
    assert found.value == (None if point is None else pytest.approx(point, abs=2e-3))
    assert found.source == ("" if point is None else "BUNIT")
    if point is None:
        assert "mosaic.zero_point=<" in found.notes[-1]


def test_unknown_units_are_said():
    assert parse_unit("MJY") is None  # milli or mega
    assert any("BUNIT=MJY" in note for note in zero_point({"BUNIT": "MJY"}, 0.1).notes)
    assert any("beam" in note for note in zero_point({"BUNIT": "Jy/beam"}, 0.1).notes)
    assert any("PHOTPLAM" in n for n in zero_point({"BUNIT": "erg/s/cm2/A"}, 0.1).notes)


HEADERS = [
    ({"BUNIT": "electron / s", **F160W}, 25.946, "PHOTFLAM", ""),
    (
        {"BUNIT": "e-/s", "PHOTFLAM": "1.9275602E-20", "PHOTPLAM": "15369.176"},
        25.946,
        "PHOTFLAM",
        "",
    ),
    ({"BUNIT": "e-/s", "PHOTFLAM": "1.9275602D-20", "PHOTPLAM": 15369.176}, 25.946, "PHOTFLAM", ""),
    ({"BUNIT": "ELECTRONS", "EXPTIME": 100.0, **F160W}, 30.946, "PHOTFLAM", "sum over 100 s"),
    ({"BUNIT": "ELECTRONS", **F160W}, None, "", "EXPTIME"),
    (F160W, None, "", "no BUNIT"),
    ({"BUNIT": "e/s", "PHOTFNU": 3631e-10}, 25.0, "PHOTFNU", ""),
    ({"PHOTZPT": -21.1, "MAGZERO": 30}, 30.0, "MAGZERO", "not Vega"),
    ({"PHOTZPT": -21.1}, None, "", "unknown"),
    ({"BUNIT": "adu"}, None, "", "unknown"),
    ({"BUNIT": "DN", "ABMAGZP": "25.0"}, 25.0, "ABMAGZP", ""),
    ({"BUNIT": "DN", "MAGZPT": 25.0, "MAGSYS": "AB"}, 25.0, "MAGZPT", ""),
    ({"BUNIT": "DN", "MAGZPT": 25.0, "EXPTIME": 10.0}, 25.0, "MAGZPT", "mosaic.zero_point=27.5"),
    ({"BUNIT": "DN", "MAGZPT": 25.0, "MAGSYS": "Vega"}, None, "", "Vega magnitudes, not AB"),
    ({"FLUXMAG0": 63095734448.0194}, 27.0, "FLUXMAG0", ""),
    ({"MAG_ZERO": 30.0, "MAGSYS": "AB"}, 30.0, "MAG_ZERO", ""),
    ({"MAGZERO": 0.0, "BUNIT": "adu"}, None, "", "mosaic.zero_point=0 takes it"),
    ({"MAGZERO": 0.0, "BUNIT": "uJy"}, 23.9, "BUNIT", ""),
    ({"BUNIT": "mag"}, None, "", "logarithmic"),
    ({"BUNIT": "mag(AB)"}, None, "", "logarithmic"),
    ({"BUNIT": "mag/arcsec2"}, None, "", "logarithmic"),
    ({"BUNIT": "uJy", "MAGZERO": 25.0}, 23.9, "BUNIT", "MAGZERO 25.0000; BUNIT is used"),
    ({"BUNIT": "uJy", "MAGZERO": 23.9}, 23.9, "BUNIT", ""),
    ({"BUNIT": "e/s", "MAGZPT": 25.0, **F160W}, 25.946, "PHOTFLAM", "contradicts itself"),
]


@pytest.mark.parametrize(("header", "value", "source", "said"), HEADERS)
def test_zero_points_of_headers(header, value, source, said):
    found = zero_point(header, 0.1)
    assert found.value == (None if value is None else pytest.approx(value, abs=2e-3))
    assert found.source == source
    assert said in " ".join(found.notes)
    if not said:
        assert len(found.notes) == 1
