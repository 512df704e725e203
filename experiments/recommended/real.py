"""Does the model, trained on simulated galaxies, reconstruct real ones?

`python -m experiments.recommended.real runs/<name> real.h5` writes real.json and real.png. real.h5
holds COSMOS galaxies with PSFs and noise (`galgen prepare data=cosmos`); see README.md.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import galgen
from galgen.data.batch import Batch
from galgen.data.psfs import read_psfs
from galgen.data.stamp_file import StampFile

HERE = Path(__file__).parent
EDGES = (18, 22, 23.5, 24.5, 26.5)
"""Magnitudes of the bins."""
SHOWN = 10


@torch.no_grad()
def main() -> None:
    """Measure and draw."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m experiments.recommended.real runs/<name> real.h5")
    run, stamps = galgen.load(sys.argv[1]), StampFile(sys.argv[2])
    batch = whole(run, stamps)
    q = run.model.encode_batch(batch)
    light = run.model.decode(q.mean)
    seen = run.model.observe(light, batch)
    sigma = batch.noise_variance.sqrt()[:, :, None, None]
    residual = ((batch.image - seen) / sigma)[:, 0].numpy()
    magnitude = stamps.by_galaxy("magnitude")[:]
    found = {}
    for low, high in pairwise(EDGES):
        inside = (magnitude >= low) & (magnitude < high)
        values = residual[inside]
        square = (values**2).mean(axis=(1, 2))
        together = (values[:, :, 1:] * values[:, :, :-1]).mean(axis=(1, 2))
        found[f"{low}-{high}"] = {
            "galaxies": int(inside.sum()),
            "reduced_chi2": float(square.mean()),
            "reduced_chi2_median": float(np.median(square)),
            "residual_correlation_median": float(np.median(together / square)),
        }
    correlation = stamps.noise_correlation[0]
    middle = np.array(correlation.shape) // 2
    found["noise_correlation"] = float(correlation[middle[0], middle[1] + 1])
    (HERE / "real.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    rows = np.argsort(magnitude)[np.linspace(0, len(magnitude) - 1, SHOWN).astype(int)]
    images = [batch.image, seen, light]
    draw([image[rows, 0].numpy() for image in images], residual[rows], magnitude[rows])


def whole(run, stamps: StampFile) -> Batch:
    """Return all galaxies of a stamp file on the run's scale, with what is known of them."""
    rows = np.arange(len(stamps))
    images = torch.from_numpy(stamps.read(rows, run.model.image_size))
    noise = np.sqrt(stamps.by_galaxy("noise_variance"), dtype=np.float32)[:, None]
    psf = torch.from_numpy(read_psfs(stamps, rows))
    batch = Batch(images, torch.from_numpy(rows), noise=torch.from_numpy(noise), psf=psf)
    return run.transform(batch)


def draw(images: list[np.ndarray], residual: np.ndarray, magnitude: np.ndarray) -> None:
    """Draw galaxies (N, H, W), what the model makes of them, and the residuals."""
    labels = ("real", "reconstructed", "light", "residual")
    figure, axes = plt.subplots(4, len(magnitude), figsize=(len(magnitude), 4.4))
    for column in range(len(magnitude)):
        noise = 2 * np.std(images[0][column][:6])
        top = np.arcsinh(images[0][column].max() / noise)
        for row, planes in enumerate(images):
            shown = np.arcsinh(planes[column] / noise)
            axes[row, column].imshow(shown, cmap="gray_r", vmin=-1, vmax=top, origin="lower")
        axes[3, column].imshow(residual[column], cmap="RdBu_r", vmin=-5, vmax=5, origin="lower")
        axes[0, column].set_title(f"{magnitude[column]:.1f} mag", fontsize=7)
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(label, fontsize=7)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.suptitle(
        "real galaxies of COSMOS (HST/ACS F814W); residuals from -5 to 5 sigma", fontsize=8
    )
    figure.tight_layout(pad=0.2, rect=(0, 0, 1, 0.97))
    figure.savefig(HERE / "real.png", dpi=100)


if __name__ == "__main__":
    main()
