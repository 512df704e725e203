"""Compare adaptive moments of simulated galaxies with those published for real COSMOS ones."""

import json
from importlib.metadata import version
from pathlib import Path

import galsim
import numpy as np

from galgen.data.surveys.cosmos_noise import PIXEL_SCALE
from galgen.data.surveys.simulated.simulated_source import SimulatedSource
from galgen.figures.contact_sheet import draw_contact_sheet
from galgen.figures.display import Display
from galgen.figures.saving import save

GALAXIES = 3000
SHOWN = 32
HERE = Path(__file__).parent


def moments(image: np.ndarray) -> tuple[float, float] | None:
    """Measure size (arcsec) and ellipticity |g| by HSM; None where it does not converge."""
    stamp = galsim.Image(image.astype(float), scale=PIXEL_SCALE)
    found = galsim.hsm.FindAdaptiveMom(stamp, strict=False)
    if found.error_message:
        return None
    return found.moments_sigma * PIXEL_SCALE, found.observed_shape.g


def main() -> None:
    """Draw, measure, write results.json and stamps.png."""
    survey, _ = SimulatedSource(GALAXIES, image_size=158).draw(range(GALAXIES))
    measured = [pair for pair in map(moments, survey["image"]) if pair is not None]
    sigma, g = np.array(measured).T
    results = {
        "galaxies": GALAXIES,
        "failed": GALAXIES - len(measured),
        "mean_sigma_arcsec": sigma.mean(),
        "mean_g": g.mean(),
        "std_g": g.std(),
        "versions": {name: version(name) for name in ("galgen", "galsim", "numpy")},
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    shown = [survey[name][:SHOWN] for name in ("image", "magnitude", "redshift")]
    sheet = draw_contact_sheet(shown[0][:, None], Display(pixel_scale=PIXEL_SCALE), *shown[1:])
    save(sheet, HERE / "stamps.png")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
