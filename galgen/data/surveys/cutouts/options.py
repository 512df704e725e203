"""The options of cutouts, checked before a file is opened."""

import math
from pathlib import Path

from galgen.config.wording import said
from galgen.data.bands import band_names
from galgen.data.surveys.cutouts.cutout_table import WANTED

SKIES = ("edges", "none")
PLACES = "a folder, a pattern or an array file"


def given_values(given) -> list:
    """Return what is given, for all bands or for each."""
    return list(given.values()) if isinstance(given, dict) else [given]


def is_number(value) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def checked_bands(bands) -> list[str] | None:
    """Return the names of the bands; one band may be given as a word.

    Args:
        bands: names; None where they are not given.

    Raises:
        ValueError: if they are not names, or the list is empty.
    """
    if bands is None or isinstance(bands, str):
        return band_names(bands)
    if not isinstance(bands, list | tuple) or not all(isinstance(b, str | int) for b in bands):
        raise ValueError(f"cutouts.bands={said(bands)}: it is not a list of names. Give [g,r,i].")
    if not bands:
        raise ValueError(
            "cutouts.bands=[]: it has no name. Give one for each band, or leave it out."
        )
    return band_names(bands)


def check_files(key: str, given, words: str) -> None:
    """Check that files are given for all bands, or by band.

    Args:
        key: under which they are given.
        given: the value; None if it is not given.
        words: for what it can be.

    Raises:
        ValueError: if they are given in another way.
    """
    if isinstance(given, list | tuple):
        bands = ", ".join(f"<band>: {quoted_text(value)}" for value in given)
        raise ValueError(
            f"cutouts.{key}={said(list(given))}: these are several bands without their names. Give "
            f"them by band, cutouts.{key}='{{{bands}}}'."
        )
    if given == {}:
        raise ValueError(f"cutouts.{key}={{}}: it has no band. Give {words} for at least one.")
    for value in given_values(given):
        if given is not None and not isinstance(value, str | Path):
            raise ValueError(f"cutouts.{key}={said(given)}: {said(value)} is not {words}.")


def quoted_text(value) -> str:
    """Return a value in the quotes that Hydra needs inside of a dictionary."""
    return f'"{value}"'


def check_noise(rms, weight) -> None:
    """Check that the noise is given as files or as positive numbers, and not twice.

    Args:
        rms: files or numbers.
        weight: files.

    Raises:
        ValueError: if it is given in another way.
    """
    if rms is not None and weight is not None:
        raise ValueError(f"cutouts.rms={said(rms)}: cutouts.weight is given too. Give one of them.")
    check_files("weight", weight, PLACES)
    numbers = [isinstance(value, int | float) for value in given_values(rms)]
    if any(numbers) and not all(numbers):
        raise ValueError(f"cutouts.rms={said(rms)}: give files for all bands, or numbers for all.")
    if not any(numbers):
        check_files("rms", rms, f"{PLACES}, or a number")
    elif not all(is_number(value) and value > 0 for value in given_values(rms)):
        raise ValueError(f"cutouts.rms={said(rms)}: it must be positive and finite.")


def check_calibration(unit, zero_point, pixel_scale) -> None:
    """Check the calibration, as far as it is given.

    Args:
        unit: of the pixels, for all bands or by band.
        zero_point: AB magnitude of one unit, for all bands or by band.
        pixel_scale: arcsec.

    Raises:
        ValueError: if a value is of another kind, or no number.
    """
    if pixel_scale is not None and not (is_number(pixel_scale) and pixel_scale > 0):
        raise ValueError(
            f"cutouts.pixel_scale={said(pixel_scale)}: it must be positive and finite."
        )
    for key, given, what, example in (
        ("unit", unit, "a unit", "nJy"),
        ("zero_point", zero_point, "a number", "25.0"),
    ):
        if isinstance(given, list | tuple):
            raise ValueError(
                f"cutouts.{key}={said(list(given))}: galgen cannot tell which band each is of. "
                f"Give one for all, or by band, cutouts.{key}='{{<band>: {example}, ...}}'."
            )
        for value in given_values(given):
            fits = is_number(value) if key == "zero_point" else isinstance(value, str)
            if value is not None and not fits:
                raise ValueError(
                    f"cutouts.{key}={said(given)}: {said(value)} is not {what}. Give one, such as "
                    f"{example}."
                )


def checked_columns(columns) -> dict:
    """Return the names of columns by what they hold.

    Args:
        columns: names; None where they are not given.

    Raises:
        ValueError: if they are not given by what they hold, or for anything else than WANTED.
    """
    if columns is None:
        return {}
    if not isinstance(columns, dict):
        raise ValueError(
            f"cutouts.columns={said(columns)}: galgen cannot tell what the column holds. Give it "
            "as cutouts.columns.<what>=<name>, with id, redshift, magnitude, ... for <what>."
        )
    for name in columns:
        if name not in WANTED:
            raise ValueError(f"cutouts.columns.{name}: it is not one of {', '.join(WANTED)}.")
    return columns
