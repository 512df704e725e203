"""What galaxies gain from a likelihood that knows the correlation of the noise.

`python -m experiments.recommended.before_after runs/<before> runs/<after>` draws before_after.png:
a bright, a faint and two clumpy galaxies of the test part, reconstructed by both runs, with the
residuals and the true light. The runs have a simulated survey of one band with noiseless images.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

import galgen

HERE = Path(__file__).parent
LIMIT = 5
"""Noise levels at which the colours of residuals end."""


def main() -> None:
    """Draw."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m experiments.recommended.before_after runs/<before> runs/<after>")
    before, after = (galgen.load(directory) for directory in sys.argv[1:])
    chosen = galaxies(after)
    positions = np.array(list(chosen.values()))
    noise, images, truth = survey(after, positions)
    columns = {"stamp": images, "true light": truth}
    for name, run in (("before", before), ("after", after)):
        seen, light = reconstructed(run, positions)
        columns[f"{name}: reconstruction"] = seen
        columns[f"{name}: residual"] = (images - seen) / noise
        if run.model.psf_free:
            columns[f"{name}: light"] = light
    size = (1.2 * len(columns), 1.25 * len(chosen) + 0.4)
    figure, axes = plt.subplots(len(chosen), len(columns), figsize=size)
    for column, (title, planes) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=7)
        for row, plane in enumerate(planes):
            draw(axes[row, column], plane, "residual" in title, noise[row])
    for row, name in enumerate(chosen):
        axes[row, 0].set_ylabel(name, fontsize=7)
    figure.suptitle(
        f"simulated galaxies in F814W; asinh stretch; residuals from -{LIMIT} to {LIMIT} sigma",
        fontsize=8,
    )
    figure.tight_layout(pad=0.3)
    figure.savefig(HERE / "before_after.png", dpi=110)


def galaxies(run) -> dict[str, int]:
    """Choose galaxies of the test part by what the survey says of them, as positions in it."""
    stamps, rows = run.survey.stamps, run.survey.parts["test"].rows
    magnitude = stamps.by_galaxy("magnitude")[rows]
    clumps = stamps.by_galaxy("clumps")[rows] * (magnitude > 21.5) * (magnitude < 23)
    clumpy = np.argsort(clumps, kind="stable")[::-1]
    chosen = {
        "bright": np.argmin(np.abs(magnitude - 20.5)),
        "faint": np.argmin(np.abs(magnitude - 25)),
        "clumpy": clumpy[0],
        "also clumpy": clumpy[1],
    }
    return {f"{name}, {magnitude[at]:.1f} mag": int(at) for name, at in chosen.items()}


def survey(run, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noise levels (n, 1, 1), stamps (n, H, W) and true light of test galaxies."""
    stamps, rows = run.survey.stamps, run.survey.parts["test"].rows[positions]
    noise = np.sqrt(stamps.by_galaxy("noise_variance")[rows])[:, None, None]
    size = run.model.image_size
    return noise, stamps.read(rows, size)[:, 0], stamps.read(rows, size, "psf_free")[:, 0]


@torch.no_grad()
def reconstructed(run, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a run makes of test galaxies, seen by the telescope and in front of it."""
    batch = run.survey.batch("test", positions)
    light = run.model.decode(run.model.encode_batch(batch).mean)
    return tuple(run.physical(image)[:, 0] for image in (run.model.observe(light, batch), light))


def draw(axis: Axes, plane: np.ndarray, is_residual: bool, noise: np.ndarray) -> None:
    """Draw an image in units of twice the noise on an asinh scale, or a residual."""
    axis.set(xticks=[], yticks=[])
    if is_residual:
        axis.imshow(plane, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, origin="lower")
    else:
        shown = np.arcsinh(plane / (2 * noise))
        axis.imshow(shown, cmap="gray_r", vmin=-1, vmax=shown.max(), origin="lower")


if __name__ == "__main__":
    main()
