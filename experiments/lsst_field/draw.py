"""Draw field.yaml as field.png: `python -m experiments.lsst_field.draw runs/<name>`."""

import sys
from pathlib import Path

import galsim
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
BAR = 20
"""Length of the scale bar, arcsec."""
GREYS = 24
"""Levels of the picture; more would be spent on noise."""


def main() -> None:
    """Draw, stretch, add the scale bar, write."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m experiments.lsst_field.draw runs/<name>")
    [config] = galsim.config.ReadConfig(str(HERE / "field.yaml"))
    config["gal"]["run"] = sys.argv[1]
    galsim.config.ImportModules(config)
    image = galsim.config.BuildImage(config)
    sigma = config["image"]["noise"]["sigma"]
    low, high = np.arcsinh([-1, 100])  # in units of twice the noise
    shown = (np.arcsinh(image.array / (2 * sigma)) - low) / (high - low)
    shown[12:15, 12 : 12 + round(BAR / image.scale)] = 1
    levels = np.round(np.clip(shown, 0, 1) * (GREYS - 1)) / (GREYS - 1)
    picture = Image.fromarray(np.uint8(255 * levels[::-1]))
    picture.save(HERE / "field.png", optimize=True)


if __name__ == "__main__":
    main()
