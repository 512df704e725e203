"""Structure of simulated galaxies: arms, bars, rings, clumps, dust, tides and companions.

Fractions and sizes are of the order that these find, and were then tuned on real stamps
(experiments/simulated_survey):

- arms: two in most spirals (Willett et al. 2013), logarithmic, with pitch angles of 10 to 40
  degrees (Savchenko & Reshetnikov 2013), in fewer galaxies at higher redshift (Kuhn et al. 2024);
- bars: in half of the near discs and a sixth beyond z = 1 (Sheth et al. 2008, Le Conte et al.
  2024), with a tenth of the light (Gadotti 2011); rings around a part of them (Buta 2017);
- clumps: in more than half of the discs at z > 0.5 (Guo et al. 2015), with luminosities L^-1.9
  (Dessauges-Zavadsky & Adamo 2018) and radii of some hundred pc (Livermore et al. 2015);
- dust: a thin disc, 1.4 times as long as that of the stars (Xilouris et al. 1999), with an
  extinction law of wavelength^-0.7 (Charlot & Fall 2000);
- lopsidedness: a third of discs beyond 20 % (Rix & Zaritsky 1995); pairs as (1 + z)^1.5
  (Conselice 2014).
"""

import numpy as np

from galgen.data.surveys.simulated.population import distance_modulus, kpc_per_arcsec

SMOOTH = {
    **{"arms": 0, "pitch_angle": 0.0, "arm_strength": 0.0, "bar_fraction": 0.0, "bar_length": 0.0},
    **{"ring_strength": 0.0, "ring_radius": 0.0, "clumps": 0, "clump_fraction": 0.0},
    **{"clump_radius": 0.0, "dust_depth": 0.0, "lopsidedness": 0.0, "bend": 0.0},
    **{"young_fraction": 0.0, "companion_fraction": 0.0},
}
"""A galaxy without structure."""


def draw_structure(galaxy: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Draw a galaxy's structure.

    Args:
        galaxy: its parameters, of `population.draw_parameters`.
        rng: generator.

    Returns:
        `arms` (number), `pitch_angle` (degrees) and `arm_strength` (of young stars, 0 to 1);
        `bar_fraction` (of the light outside the bulge) and `bar_length` (half-light radii);
        `ring_strength` (peak over the disc) and `ring_radius` (half-light radii); `clumps`
        (number), `clump_fraction` (of the disc's light) and `clump_radius` (of a median one, half-
        light radii); `dust_depth` (optical depth through the centre, face on, at 550 nm);
        `lopsidedness` (relative, at the half-light radius) and `bend` (half-light radii, at that
        radius); `young_fraction` (of the disc's light); `companion_fraction` (a companion's light
        relative to the galaxy's).
    """
    z = galaxy["redshift"]
    disturbed = rng.random() < min(0.06 * (1 + z) ** 1.5, 0.35)
    structure = SMOOTH | {
        "companion_fraction": _companion(z, disturbed, rng),
        "bend": rng.normal(0, 0.15) if disturbed else 0.0,
    }
    if galaxy["early_type"]:
        return structure | {"lopsidedness": abs(rng.normal(0, 0.3 if disturbed else 0.03))}
    absolute = galaxy["magnitude"] - distance_modulus(z) + 2.5 * np.log10(1 + z)
    luminous = 1 / (1 + np.exp((absolute + 18.0) / 0.7))
    structure |= {
        "young_fraction": float(np.clip(rng.normal(0.35 + 0.1 * z, 0.1), 0.1, 0.8)),
        "lopsidedness": abs(rng.normal(0, 0.45 if disturbed else 0.18)),
        "dust_depth": float(rng.lognormal(np.log(0.3 + 0.7 * luminous), 0.6)),
    }
    structure |= _bar(z, luminous, rng) | _clumps(galaxy, rng)
    if rng.random() < 0.8 * np.exp(-0.4 * z) * luminous:
        structure |= _arms(rng)
        if rng.random() < 0.2:
            length = structure["bar_length"] or rng.uniform(0.5, 1.2)
            structure |= {"ring_radius": length, "ring_strength": rng.uniform(0.3, 1.5)}
    return structure


def _companion(redshift: float, disturbed: bool, rng: np.random.Generator) -> float:
    """Draw the relative light of a companion, 0.3 to 3 mag fainter; mostly there is none."""
    fainter = rng.uniform(0.3, 3)
    share = min(0.015 * (1 + redshift) ** 1.5, 0.1) * (2 if disturbed else 1)
    return float(10 ** (-0.4 * fainter)) if rng.random() < share else 0.0


def _bar(redshift: float, luminous: float, rng: np.random.Generator) -> dict[str, float]:
    share = (0.15 + 0.4 * np.exp(-redshift / 0.6)) * (0.3 + 0.7 * luminous)
    if rng.random() >= share:
        return {}
    return {"bar_fraction": float(rng.beta(4, 30)), "bar_length": rng.uniform(0.4, 1.0)}


def _arms(rng: np.random.Generator) -> dict[str, float]:
    return {
        "arms": int(rng.choice([2, 3, 4, 6], p=[0.55, 0.2, 0.15, 0.1])),
        "pitch_angle": float(np.clip(rng.normal(20, 7), 8, 40)),
        "arm_strength": rng.uniform(0.4, 1.0),
    }


def _clumps(galaxy: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Draw the clumps: giant ones in clumpy galaxies, H II regions in others."""
    z = galaxy["redshift"]
    clumpy = rng.random() < np.clip(0.4 + 0.3 * z, 0.4, 0.7)
    number = int(rng.geometric(0.12)) + 2 if clumpy else int(rng.integers(0, 12))
    fraction = float(min(rng.beta(2, 8) * (1 + z), 0.45)) if clumpy else rng.uniform(0, 0.05)
    kpc = galaxy["flux_radius"] * kpc_per_arcsec(z)
    return {
        "clumps": number,
        "clump_fraction": fraction if number else 0.0,
        "clump_radius": float(np.clip(0.2 / kpc, 0.05, 0.12) * rng.lognormal(0, 0.3)),
    }
