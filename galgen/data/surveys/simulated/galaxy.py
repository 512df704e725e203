"""A simulated galaxy as points of light, coloured: disc, clumps, bar, bulge and companion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galgen.data.surveys.simulated.colours import flux_ratios, wavelengths
from galgen.data.surveys.simulated.population import LEAST_AXIS_RATIO
from galgen.data.surveys.simulated.profiles import sersic_points
from galgen.data.surveys.simulated.telescopes import SELECTION

FEWEST, MOST = 2048, 32768
"""Points of a profile."""
POINTS = 120
"""Points of a profile on the square of its half-light radius in pixels."""
CLUMP_POINTS = 32
FARTHEST_CLUMP = 1.5
"""Distance from the centre beyond which there are few clumps, half-light radii."""
YOUNG, RED_BULGE = 3.0, 0.2
"""Spectral types of clumps and of bulges."""
DUST_LENGTH = 1.4 / 1.678
"""Scale length of the dust, half-light radii of an exponential disc."""
THIN = 0.3
"""Cosine of the inclination below which dust gets no deeper: it lies in clouds, not in a sheet."""
CLUMP_HEIGHT = 0.4
"""Height of clumps above the disc, relative to that of stars."""
SILVER = 0.7548776662466927
"""Step of the heights of points, whose sequence is evenly spread (Roberts 2018)."""


@dataclass
class Points:
    """Points of light of one component."""

    x: np.ndarray
    """In the plane of the sky along the major axis, (n,); half-light radii."""
    y: np.ndarray
    """Along the minor axis."""
    light: np.ndarray
    """Fraction of the component's light, (n,)."""
    spectral_type: float
    dust: np.ndarray | float = 0.0
    """How deep a point lies in dust, relative to the centre face on, (n,)."""


def galaxy_points(
    galaxy: dict[str, float],
    bands: Sequence[str],
    pixel_scale: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Build a galaxy, without its companion, out of points of light.

    Args:
        galaxy: parameters, of `population.draw_parameters` and `structure.draw_structure`.
        bands: their names.
        pixel_scale: arcsec.
        rng: generator of the places of clumps and the like.

    Returns:
        Positions relative to the centre, (2, n), arcsec; flux densities (B, n) relative to the
        galaxy's in the band of the selection.
    """
    major = galaxy["flux_radius"] / np.sqrt(galaxy["axis_ratio"])
    number = int(np.clip(POINTS * (major / pixel_scale) ** 2, FEWEST, MOST))
    parts = _early(galaxy, number) if galaxy["early_type"] else _late(galaxy, number, rng)
    z = galaxy["redshift"]
    depths, reference = (
        galaxy["dust_depth"] * (wavelengths(names) / (1 + z) / 0.55) ** -0.7
        for names in (tuple(bands), (SELECTION,))
    )
    flux, total = [], 0.0
    for share, part in parts:
        ratios = flux_ratios(part.spectral_type, z, bands)
        light = share * part.light
        flux.append(ratios[:, None] * light * np.exp(-depths[:, None] * part.dust))
        total += (light * np.exp(-reference * part.dust)).sum()
    x, y = (np.concatenate([getattr(part, axis) for _, part in parts]) for axis in "xy")
    places = np.stack(_turned(x, y, np.deg2rad(galaxy["position_angle"])))
    return major * places, np.concatenate(flux, axis=1) / total


def companion_points(
    galaxy: dict[str, float], bands: Sequence[str], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Build a galaxy's companion, a smaller one of the same redshift, as `galaxy_points` does."""
    distance, direction = rng.uniform(1.5, 6.0), rng.uniform(0, 2 * np.pi)
    size, flat, turn = rng.uniform(0.25, 0.7), rng.uniform(0.4, 1.0), rng.uniform(0, np.pi)
    index, kind = rng.uniform(0.8, 2.0), rng.uniform(0.5, 3.0)
    radii, angles, light = sersic_points(round(index, 1), FEWEST)
    x, y = _turned(size * radii * np.cos(angles), size * flat * radii * np.sin(angles), turn)
    places = np.stack([x + distance * np.cos(direction), y + distance * np.sin(direction)])
    ratios = flux_ratios(kind, galaxy["redshift"], bands)
    major = galaxy["flux_radius"] / np.sqrt(galaxy["axis_ratio"])
    return major * places, galaxy["companion_fraction"] * ratios[:, None] * light


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def _early(galaxy: dict[str, float], number: int) -> list[tuple[float, Points]]:
    radii, angles, light = sersic_points(galaxy["sersic_index"], number)
    x, y, light = _disturb(galaxy, radii, angles, light)
    return [(1.0, Points(x, galaxy["axis_ratio"] * y, light, galaxy["spectral_type"]))]


def _late(
    galaxy: dict[str, float], number: int, rng: np.random.Generator
) -> list[tuple[float, Points]]:
    """Build a disc with its clumps, bar and bulge: share of the light, points."""
    phases = rng.uniform(0, 2 * np.pi, 4)
    x, y, height, old, young = _disc(galaxy, number, phases)
    kind, disc = galaxy["spectral_type"], 1 - galaxy["bulge_fraction"]
    disc, bar = disc * (1 - galaxy["bar_fraction"]), disc * galaxy["bar_fraction"]
    smooth, clumps = disc * (1 - galaxy["clump_fraction"]), disc * galaxy["clump_fraction"]
    share = galaxy["young_fraction"]
    redder, bluer = (kind - 0.5, kind + 0.8) if share else (kind, kind)
    places = _seen(galaxy, x, y, height)
    parts = [(smooth * (1 - share), Points(*places[:2], old, max(redder, 0), places[2]))]
    if share:
        parts.append((smooth * share, Points(*places[:2], young, min(bluer, YOUNG), places[2])))
    if clumps:
        parts.append((clumps, _clump_points(galaxy, phases, rng)))
    if bar:
        parts.append((bar, _bar_points(galaxy, number, rng, max(redder - 0.3, 0))))
    if galaxy["bulge_fraction"]:
        parts.append((galaxy["bulge_fraction"], _bulge_points(galaxy, number)))
    return parts


def _disc(
    galaxy: dict[str, float], number: int, phases: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Build a disc face on: places in it, heights above it, and the light of old and young stars.

    Heights are relative to a disc as thick as long.
    """
    radii, angles, light = sersic_points(galaxy["sersic_index"], number)
    arms, ring = _arm_pattern(galaxy, radii, angles, phases), _ring(galaxy, radii)
    x, y, light = _disturb(galaxy, radii, angles, light)
    old = light * (1 + 0.4 * galaxy["arm_strength"] * arms) * ring
    young = light * (1 + galaxy["arm_strength"] * arms) * ring**2
    old, young = old / old.sum(), young / young.sum()
    return x, y, np.sqrt((old * x**2).sum()) * _heights(number), old, young


def _disturb(
    galaxy: dict[str, float], radii: np.ndarray, angles: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place points, with one side brighter and the outskirts bent, as tides leave them."""
    x, y = radii * np.cos(angles), radii * np.sin(angles)
    if galaxy["lopsidedness"]:
        side = x * np.cos(1.0) + y * np.sin(1.0)
        light = light * np.clip(1 + galaxy["lopsidedness"] * np.clip(side, -2.5, 2.5), 0.05, None)
        light = light / light.sum()
    if galaxy["bend"]:
        y = y + galaxy["bend"] * np.minimum(x**2, 9.0)
    return x, y, light


def _arm_pattern(
    galaxy: dict[str, float], radii: np.ndarray, angles: np.ndarray, phases: np.ndarray
) -> np.ndarray | float:
    """Return logarithmic spiral arms: 3 on a crest and -1 between, none at the centre and far out.

    The more arms, the more ragged they are.
    """
    arms = galaxy["arms"]
    if not arms:
        return 0.0
    log_radius = np.log(np.maximum(radii, 0.05))
    turn, hand = 1 / np.tan(np.deg2rad(galaxy["pitch_angle"])), 1 if phases[3] < np.pi else -1
    phase = arms * (hand * angles - turn * log_radius) + phases[0]
    phase += 0.2 * arms * np.sin(3 * log_radius + phases[1])
    phase += 0.25 * (arms - 1) * np.sin(angles + phases[2])
    crest = np.exp(2 * (np.cos(phase) - 1))
    fade = np.exp(-(((galaxy["bar_length"] + 0.15) / np.maximum(radii, 0.05)) ** 3))
    return (4 * crest - 1) * fade * np.exp(-((radii / 2.8) ** 4))


def _ring(galaxy: dict[str, float], radii: np.ndarray) -> np.ndarray | float:
    if not galaxy["ring_strength"]:
        return 1.0
    width = 0.15 * galaxy["ring_radius"]
    return 1 + galaxy["ring_strength"] * np.exp(
        -0.5 * ((radii - galaxy["ring_radius"]) / width) ** 2
    )


def _heights(number: int) -> np.ndarray:
    """Spread points across the disc as exp(-|height|), relative to their root mean square."""
    step = (SILVER * np.arange(number)) % 1 - 0.5
    return -np.sign(step) * np.log(np.maximum(1 - 2 * np.abs(step), 1e-3)) / 2**0.5


def _seen(
    galaxy: dict[str, float], x: np.ndarray, y: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Incline points of a disc: places in the sky, and how deep they lie in dust.

    The disc's thickness is that of the flattest galaxies (Hubble 1926). Dust is a sheet in its
    plane; points beyond it are seen through it, and through the more of it the more inclined it is.
    """
    cosine = _cosine(galaxy["axis_ratio"])
    height = LEAST_AXIS_RATIO * height
    sky = y * cosine + height * np.sqrt(1 - cosine**2)
    return x, sky, _dust(x, sky, height < 0, cosine)


def _dust(x: np.ndarray, sky: np.ndarray, beyond: np.ndarray, cosine: float) -> np.ndarray:
    far = np.hypot(x, sky / max(cosine, 0.05))
    depth = np.exp(-far / DUST_LENGTH) / max(cosine, THIN)
    return np.where(beyond, depth, 0)


def _cosine(axis_ratio: float) -> float:
    """Return the cosine of the inclination of a disc of some axis ratio."""
    flattest = LEAST_AXIS_RATIO**2
    return float(np.sqrt(max(axis_ratio**2 - flattest, 0) / (1 - flattest)))


def _clump_points(galaxy: dict[str, float], phases: np.ndarray, rng: np.random.Generator) -> Points:
    """Put clumps where young stars are."""
    number = galaxy["clumps"]
    x, y, height, _, young = _disc(galaxy, FEWEST, phases)
    quantile = rng.random(number)
    luminosity = (1 - quantile * (1 - 100**-0.9)) ** (-1 / 0.9)  # L^-1.9, from 1 to 100
    young = young * np.exp(-((np.hypot(x, y) / FARTHEST_CLUMP) ** 4))
    places = np.searchsorted(np.cumsum(young), rng.random(number) * young.sum())
    places = np.minimum(places, len(x) - 1)
    radii = galaxy["clump_radius"] * luminosity**0.3
    spread = rng.normal(size=(3, number, CLUMP_POINTS)) * radii[:, None]
    spread[2] += (CLUMP_HEIGHT * LEAST_AXIS_RATIO * height[places])[:, None]
    flat = [x[places][:, None] + spread[0], y[places][:, None] + spread[1]]
    seen = _seen(galaxy, *(each.ravel() for each in flat), spread[2].ravel() / LEAST_AXIS_RATIO)
    light = np.repeat(luminosity / luminosity.sum() / CLUMP_POINTS, CLUMP_POINTS)
    return Points(seen[0], seen[1], light, YOUNG, seen[2])


def _bar_points(
    galaxy: dict[str, float], number: int, rng: np.random.Generator, spectral_type: float
) -> Points:
    """Build a bar: three times as long as wide, flat, and with sharp ends."""
    radii, angles, light = sersic_points(0.6, number // 2)
    radii = 0.6 * galaxy["bar_length"] * radii
    x, y = _turned(radii * np.cos(angles), radii * np.sin(angles) / 3, rng.uniform(0, np.pi))
    seen = _seen(galaxy, x, y, 0.5 * _heights(number // 2))
    return Points(seen[0], seen[1], light, spectral_type, seen[2])


def _bulge_points(galaxy: dict[str, float], number: int) -> Points:
    """Build a round bulge (n=4) of half the disc's circularised radius."""
    radii, angles, light = sersic_points(4.0, number // 2)
    radii = 0.5 * np.sqrt(galaxy["axis_ratio"]) * radii
    x, y = radii * np.cos(angles), radii * np.sin(angles)
    dust = _dust(x, y, np.arange(len(x)) % 2 == 1, _cosine(galaxy["axis_ratio"]))
    return Points(x, y, light, RED_BULGE + 0.15 * galaxy["redshift"], dust)
