"""The unit and the zero point of an image, from its header."""

import re
import warnings
from dataclasses import dataclass
from functools import cache

import astropy.units as u
import numpy as np
from astropy.io import fits

ZERO_POINTS = (
    *("ABMAGZP", "ABZP", "ZPAB", "ZP_AB", "MAGZERO", "MAGZEROP", "MAGZPT", "MAGZP"),
    *("MAG_ZERO", "MAG_ZP", "ZEROPNT", "ZEROPT", "ZEROPOIN", "ZEROPOINT", "ZPT", "ZP"),
    *("PHOTZP", "PHOTZPT"),
)
"""Keywords of the magnitude of one unit, the clearest first."""
SYSTEMS = ("MAGSYS", "PHOTSYS", "MAGSYSTE")
"""Keywords of the magnitude system."""
EXPOSURES = ("EXPTIME", "EXPOSURE", "XPOSURE", "TEXPTIME", "EFFEXPTM")
"""Keywords of the exposure time, s."""
WORDS = {
    "electron": "electron electrons e- e elec el photoelectron photoelectrons",
    "ct": "ct cts count counts",
    "DN": "dn dns",
    "adu": "adu adus",
    "photon": "photon photons ph phot",
    "s": "s sec secs second seconds",
    "pix": "pix pixel pixels px pixs",
    "beam": "beam beams",
    "sr": "sr str steradian steradians ster",
    "arcsec": "arcsec arcsecs arcsecond arcseconds asec",
    "arcmin": "arcmin arcminute arcminutes",
    "deg": "deg degree degrees",
    "Jy": "jy jansky janskys janskies",
    "mJy": "millijy millijansky millijanskys",
    "uJy": "ujy microjy microjansky microjanskys",
    "nJy": "njy nanojy nanojansky nanojanskys",
    "MJy": "megajy megajansky megajanskys",
    "kJy": "kjy",
    "mgy": "maggy maggies mgy",
    "nmgy": "nanomaggy nanomaggies nmgy nmaggy nmaggies nanomgy",
    "mmgy": "millimaggy millimaggies mmgy",
    "erg": "erg ergs",
    "W": "w watt watts",
    "cm": "cm",
    "m": "m meter meters metre metres",
    "nm": "nm",
    "um": "um micron microns micrometer",
    "Angstrom": "angstrom angstroms ang angs aa a",
    "Hz": "hz hertz",
}
SYMBOLS = {
    **{"\u00b5": "u", "\u03bc": "u", "\u00c5": "Angstrom", "\u00b7": " ", "\u00d7": "*"},
    **{"\u207b": "^-", "^-\u00b9": "^-1", "^-\u00b2": "^-2", "\u00b2": "^2"},
    **{"{": "(", "}": ")", "**": "^"},
}
"""Spellings of symbols, replaced in this order."""
SPELLINGS = {spelling: word for word, spellings in WORDS.items() for spelling in spellings.split()}
UNKNOWN_UNIT = "unknown"
"""Unit of an image whose header does not say it."""
NANOJANSKY = 31.4
"""AB magnitude of 1 nJy."""
AGREEMENT = 0.05
"""Zero points that differ by less agree, mag."""


@dataclass
class ZeroPoint:
    """The zero point of an image, from its header."""

    value: float | None
    """AB magnitude of one unit; None where the header has none."""
    source: str
    """Its keyword, or an empty string."""
    notes: list[str]
    """Sentences about it for the user."""


@cache
def parse_unit(text: str) -> u.UnitBase | None:
    """Read a unit in any spelling: `counts/sec`, `1e-20 erg s-1 cm-2 Angstrom-1`, `10^-6 Jy`.

    Args:
        text: of BUNIT or TUNIT.

    Returns:
        The unit, None if it is not recognised.
    """
    text = text.strip().strip("'\"[]").strip()
    # Remarks may follow in brackets or after a comma.
    for attempt in dict.fromkeys([text, re.split(r"\s+\(|[,;|]|\s/\s.*\s|\s{2,}", text)[0]]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                unit = _parse(attempt)
            except (ValueError, TypeError, ZeroDivisionError):
                continue
        if unit is not None:
            return unit
    return None


def _parse(text: str) -> u.UnitBase | None:
    for symbol, word in SYMBOLS.items():
        text = text.replace(symbol, word)
    power = r"\s*(?:(\d*\.?\d+)\s*[xX*]\s*)?10\^?\s*\(?([+-]\d+)\)?[\s*.]*"
    factor, found = 1.0, re.match(power, text)
    if found is None:
        found = re.match(r"\s*((?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)(?![\d.^])[\s*]*", text)
        factor = float(re.sub("[dD]", "e", found[1])) if found else 1.0
    else:
        factor = float(found[1] or 1) * 10.0 ** int(found[2])
    text = text[found.end() :] if found else text
    if not text.strip():
        return None
    text = re.sub(r"(?i)\bper\b", "/", re.sub(r"(?i)\bcps\b", "ct/s", text))
    text = re.sub(r"(?i)(^|[\s*/.(])e-(?=$|[\s*/.)])", r"\1electron", text)
    spelled = re.sub(r"[A-Za-z]+", lambda word: _word(word[0], text), text)
    parsed = u.Unit(spelled, format="generic")
    return parsed if factor == 1 else u.Unit(factor * parsed)


def _word(word: str, text: str) -> str:
    """Spell a word of a unit as astropy does."""
    if word == "MJY":  # milli or mega
        return "MJy" if re.search(r"(?i)/\s*sr|sr\^?-1|ster", text) else "?"
    if word.lower() in ("mjy", "pjy", "gjy"):
        return word[0] + "Jy"
    return SPELLINGS.get(word.lower(), word)


def canonical(text: str) -> str:
    """Normalise the unit of a header; an unknown one is left as it is."""
    unit = parse_unit(text)
    return " ".join(text.split()) or UNKNOWN_UNIT if unit is None else unit.to_string()


def is_surface_brightness(text: str) -> bool:
    """Tell whether a unit is one by solid angle (`MJy / sr`), not by pixel."""
    unit = parse_unit(text)
    return unit is not None and u.rad in unit.decompose().bases


def zero_point_attrs(points: list[float | None]) -> dict[str, list[float]]:
    """Return the attribute `zero_point` of a stamp file.

    Args:
        points: AB magnitude of one unit in each band, None where unknown.

    Returns:
        The attribute, NaN where unknown; nothing if no band's is known.
    """
    if all(point is None for point in points):
        return {}
    return {"zero_point": [np.nan if point is None else point for point in points]}


def number(header: fits.Header, key: str) -> float | None:
    """Read a number, which may be written as text; None if the header has none."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        value = float(re.sub("[dD]", "e", str(value).strip()))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def zero_point(
    header: fits.Header, pixel_scale: float, key: str = "mosaic.zero_point"
) -> ZeroPoint:
    """Find the AB magnitude of one unit of an image.

    BUNIT gives it where it is a flux density, by pixel or by solid angle; PHOTFLAM and PHOTPLAM, or
    PHOTFNU, give it for images of a rate, and with the exposure time for those of a sum (ACS Data
    Handbook, section 5.1); else one of ZERO_POINTS gives it.

    Args:
        header: of the image.
        pixel_scale: arcsec.
        key: under which the user gives the zero point, for messages.

    Returns:
        The zero point.
    """
    text = str(header.get("BUNIT", "")).strip()
    unit, notes = parse_unit(text), []
    if unit is not None and _is_logarithmic(unit):
        notes.append(f"the unit of the image, BUNIT={text}, is logarithmic: give one of fluxes")
        unit = None
    elif text and unit is None:
        notes.append(f"the unit of the image, BUNIT={text}, is not one that galgen knows")
    found: dict[str, float] = {}
    if unit is not None:
        density, why = _flux_density(unit, header, pixel_scale)
        if density is not None:
            found["BUNIT"] = density
        notes += [why] if why else []
    if not found:
        found, why = _photometric_keywords(unit, header)
        notes += [why] if why else []
    flux = number(header, "FLUXMAG0")  # of magnitude 0, as Hyper Suprime-Cam's pipeline writes it
    if flux is not None and flux > 0:
        found["FLUXMAG0"] = float(2.5 * np.log10(flux))
    for word in ZERO_POINTS:
        value = number(header, word)
        if value is not None and value > 0:  # HST's PHOTZPT is -21.1, of ST magnitudes
            found[word] = value
        if value == 0 and not found:
            notes.append(
                f"{word}=0 of the header is not used, it may mean that none is known; "
                f"{key}=0 takes it"
            )
    return _judge(found, unit, header, notes, key)


def _is_logarithmic(unit: u.UnitBase | u.FunctionUnitBase) -> bool:
    return isinstance(unit, u.FunctionUnitBase) or bool({u.mag, u.dex, u.dB} & set(unit.bases))


def _judge(
    found: dict[str, float],
    unit: u.UnitBase | None,
    header: fits.Header,
    notes: list[str],
    key: str,
) -> ZeroPoint:
    """Choose among the zero points of the keywords, and note those that disagree."""
    system = next((str(header[word]).strip() for word in SYSTEMS if word in header), "")
    if system.upper().startswith(("VEGA", "ST")):
        dropped = [word for word in found if word in ZERO_POINTS]
        found = {word: value for word, value in found.items() if word not in dropped}
        if dropped:
            notes.append(
                f"{', '.join(dropped)} of the header is in {system} magnitudes, not AB, "
                "and is not used"
            )
    if not found:
        notes.append(
            "the zero point is unknown, magnitudes are NaN (fluxes stay in the image's unit). Give "
            f"{key}=<AB magnitude of one unit>"
        )
        return ZeroPoint(None, "", notes)
    source = next(iter(found))
    value = found[source]
    notes.append(f"zero point {value:.4f} mag (AB), from the header's {source}")
    if source in ZERO_POINTS and "AB" not in source + system.upper():
        notes[-1] += "; the header does not say that it is in AB magnitudes, not Vega"
    exposure = _exposure(header)
    if source in ZERO_POINTS and _counts(unit, u.one) and exposure not in (None, 1):
        notes[-1] += (
            f"; the image is a sum over {exposure:g} s: if {source} is that of one unit a second, "
            f"give {key}={value + 2.5 * np.log10(exposure):.4f}"
        )
    others = {word: other for word, other in found.items() if abs(other - value) > AGREEMENT}
    if others:
        listed = ", ".join(f"{word} {other:.4f}" for word, other in others.items())
        notes.append(
            f"the header contradicts itself: {source} gives a zero point of {value:.4f}, but "
            f"{listed}; {source} is used. Give {key}=<AB magnitude of one unit> for "
            "another"
        )
    return ZeroPoint(value, source, notes)


def _flux_density(
    unit: u.UnitBase, header: fits.Header, pixel_scale: float
) -> tuple[float | None, str]:
    """Return the zero point of a unit of flux density, None of others, and missing keys."""
    if u.beam in unit.bases:
        return None, f"the area of a beam, of the unit {unit}, is unknown"
    for area in (u.one, u.pix, (pixel_scale * u.arcsec) ** 2):
        one = u.Quantity(1 * unit * area)
        one = one.to(u.AB, u.zero_point_flux(u.AB * 1)) if one.unit.is_equivalent(u.mgy) else one
        if one.unit.is_equivalent(u.AB):
            return float(-2.5 * np.log10(one.to_value(u.AB))) + 0.0, ""
        if one.unit.is_equivalent(u.erg / u.s / u.cm**2 / u.AA):
            pivot = number(header, "PHOTPLAM")
            if not pivot or pivot < 0:
                return None, f"the unit {unit} needs the pivot wavelength, PHOTPLAM (Angstrom)"
            density = one.to(u.Jy, u.spectral_density(pivot * u.AA))
            return float(-2.5 * np.log10(density.to_value(u.AB))), ""
    return None, ""


def _counts(unit: u.UnitBase | None, by: u.UnitBase) -> float | None:
    """Return how many counts (by second, for a rate) a unit is; None for units of other things."""
    for count in (u.electron, u.ct, u.DN, u.adu, u.photon):
        for area in (u.one, u.pix):
            if unit is not None and unit.is_equivalent(count / by / area):
                return unit.to(count / by / area)
    return None


def _exposure(header: fits.Header) -> float | None:
    times = (number(header, key) for key in EXPOSURES)
    return next((time for time in times if time is not None and time > 0), None)


def _photometric_keywords(
    unit: u.UnitBase | None, header: fits.Header
) -> tuple[dict[str, float], str]:
    """Return the zero points by PHOTFLAM and PHOTFNU, and the missing keywords."""
    flam, plam, fnu = (number(header, key) or 0 for key in ("PHOTFLAM", "PHOTPLAM", "PHOTFNU"))
    points = {}
    if flam > 0 and plam > 0:
        points["PHOTFLAM"] = float(-2.5 * np.log10(flam) - 21.1 - 5 * np.log10(plam) + 18.6921)
    if fnu > 0:
        points["PHOTFNU"] = float(-2.5 * np.log10((fnu * u.Jy).to_value(u.AB)))
    if not points:
        return {}, ""
    keys = " and ".join(points)
    rate, total = _counts(unit, u.s), _counts(unit, u.one)
    if rate is None and total is None:
        said = "the header has no BUNIT" if unit is None else f"the unit {unit} is not of counts"
        return {}, f"{keys} is not used, {said}: the image may be a rate or a sum over the exposure"
    seconds = 1.0 if rate is not None else _exposure(header)
    if seconds is None:
        return {}, f"{keys} needs the exposure time, EXPTIME, because the image is a sum ({unit})"
    shift = 2.5 * np.log10(seconds / (rate or total))
    points = {key: float(value + shift) for key, value in points.items()}
    return (
        points,
        "" if rate else f"the image is a sum over {seconds:g} s; {keys} is that of one second",
    )
