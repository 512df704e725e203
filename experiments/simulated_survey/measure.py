"""Compare adaptive moments of simulated galaxies with those published for real COSMOS ones."""

import json
from importlib.metadata import version
from pathlib import Path

import galsim
import numpy as np
from matplotlib.figure import Figure

from galgen.data.sources.simulated import PIXEL_SCALE, SimulatedSource

GALAXIES = 3000
HERE = Path(__file__).parent


def moments(image: np.ndarray) -> tuple[float, float] | None:
    """Measure size (arcsec) and ellipticity |g| by HSM; None where it does not converge."""
    stamp = galsim.Image(image.astype(float), scale=PIXEL_SCALE)
    found = galsim.hsm.FindAdaptiveMom(stamp, strict=False)
    if found.error_message:
        return None
    return found.moments_sigma * PIXEL_SCALE, found.observed_shape.g


def contact_sheet(images: np.ndarray, catalogue: dict[str, np.ndarray]) -> Figure:
    """Draw galaxies with their magnitude and redshift, asinh stretch, arcsec scale bar."""
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    for i, axis in enumerate(figure.subplots(4, 8).flat):
        axis.imshow(np.arcsinh(images[i] / 0.01), cmap="hot", origin="lower", vmin=-0.3)
        title = f"{catalogue['magnitude'][i]:.1f} mag, z {catalogue['redshift'][i]:.2f}"
        axis.set_title(title, fontsize=6)
        axis.axis("off")
        axis.plot([8, 8 + 1 / PIXEL_SCALE], [8, 8], color="white", lw=1)
    return figure


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
    contact_sheet(survey["image"], survey).savefig(HERE / "stamps.png", dpi=130)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
