"""The filters that headers name, and where they contradict the bands or each other."""

import re
from collections import Counter
from collections.abc import Iterable

from astropy.io import fits

FILTERS = ("FILTER", "FILTER1", "FILTER2")
"""Keywords of the filter."""


def filter_of(header: fits.Header) -> str | None:
    """Return the filter that a header names; None where it names none."""
    filters = [str(header.get(word, "")).strip() for word in FILTERS]
    filters = [name for name in filters if name and not name.upper().startswith("CLEAR")]
    return filters[0] if filters else None


def different_filters(filters: Iterable[str | None], what: str) -> list[str]:
    """Say that images of one band have different filters in their headers, if they have.

    Args:
        filters: of the images; None where a header names none.
        what: the images, in the plural: `tiles`.
    """
    known = [name for name in filters if name is not None]
    spelled = {name.casefold(): name for name in reversed(known)}
    counts = Counter(name.casefold() for name in known)
    if len(counts) < 2:
        return []
    listed = ", ".join(f"{spelled[name]} in {count}" for name, count in counts.items())
    return [f"the {what} have different filters in their headers: {listed}. Are they of one band?"]


def swapped_filters(filters: dict[str, str | None], key: str) -> list[str]:
    """Say that bands have each other's filters in their headers, if they have.

    Args:
        filters: that of the header by the band's name; None where it names none.
        key: under which the user gives the images.
    """
    named = {band: _named_band(name, band, filters) for band, name in filters.items()}
    swapped = [band for band in named if _leads_back(named, band)]
    if not swapped:
        return []
    listed = ", ".join(f"that of {band} names {filters[band]}" for band in swapped)
    return [f"the headers contradict {key}, {listed}. Are the files of these bands swapped?"]


def _named_band(name: str | None, band: str, bands: Iterable[str]) -> str | None:
    """Return the other band that a filter is, if it is one and not its own band."""
    if name is None or _is(name, band):
        return None
    others = [other for other in bands if _is(name, other)]
    return others[0] if len(others) == 1 else None


def _is(name: str, band: str) -> bool:
    """Tell whether a filter is a band: SDSS-r is r, and so is R."""
    name, band = name.casefold(), band.casefold()
    return band == name or band in re.split(r"[^a-z0-9]+", name)


def _leads_back(named: dict[str, str | None], band: str) -> bool:
    """Tell whether a band's header names another, and so on, until one names the band."""
    following = named[band]
    for _ in named:
        if following in (None, band):
            break
        following = named[following]
    return following == band
