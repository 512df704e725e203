"""What is drawn of a run: which galaxies, latents or curves go into which figure."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from galgen import figures
from galgen.data.parts import PARTS
from galgen.draws import CHOICE, uniform
from galgen.errors import GalgenError
from galgen.figures import Display
from galgen.latents import Latents, encode_part
from galgen.redshifts import SURVEY
from galgen.trained import PEAK, TrainedRun

FORMATS = (".png", ".pdf")
LEGIBLE_PAIRS = 6
"""Dimensions in a corner plot that can be read at page width."""


class Picture:
    """A figure of a run, with what can be chosen of it.

    Args:
        split: part of the survey that galaxies are taken from: `train`, `val` or `test`.
        cmap: colour map of galaxies, as `figures.Display`.
        stretch: stretch of galaxies, as `figures.Display`.
        zoom: the middle 1 / zoom of each galaxy's stamp is shown.
        seed: of the choice of galaxies, and of generated ones; whole number from 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        split: str = "val",
        cmap: str = "hot",
        stretch: str = "asinh",
        zoom: float = 1.0,
        seed: int = 0,
    ):
        if split not in PARTS:
            raise ValueError(f"split is {split!r}, it can be one of {', '.join(PARTS)}")
        uniform(seed, CHOICE, 0, 0, 1)
        self.split, self.seed = split, seed
        self.shown = Display(cmap, stretch, zoom)

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figures by name.

        Raises:
            GalgenError: if the run does not have what is to be drawn.
        """
        raise NotImplementedError

    def write(self, run: TrainedRun, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Draw, and write each figure in each format; return the files."""
        return save_all(self.draw(run), folder, formats)

    def display(self, run: TrainedRun) -> Display:
        """Return how the run's galaxies are shown."""
        return replace(self.shown, pixel_scale=run.pixel_scale)

    def choose(self, run: TrainedRun, galaxies: Sequence[int] | int | None, n: int) -> np.ndarray:
        """Return the positions of chosen galaxies in the split, or of n random ones.

        Raises:
            GalgenError: if there are none, or no such.
        """
        there = len(run.survey.parts[self.split])
        if not there:
            raise GalgenError(f"split={self.split}: {run.name} has no galaxies in this part")
        if galaxies is None:
            order = np.argsort(uniform(self.seed, CHOICE, 0, there, 1)[:, 0])
            return np.sort(order[:n])
        galaxies = galaxies if isinstance(galaxies, Sequence) else [galaxies]
        if not galaxies:
            raise GalgenError("galaxies=[]: name one at least, or leave it out")
        bad = [g for g in galaxies if type(g) is not int or not 0 <= g < there]
        if bad:
            raise GalgenError(
                f"galaxy {bad[0]}: there is no such; the part '{self.split}' has galaxies 0 to "
                f"{there - 1}"
            )
        return np.array(galaxies)


class Reconstruction(Picture):
    """Galaxies over their reconstructions over the residuals.

    Args:
        n: number of galaxies, chosen at random.
        galaxies: numbers of galaxies in the split, from 0, instead.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, n: int = 8, galaxies: Sequence[int] | None = None, **arguments):
        super().__init__(**arguments)
        check_positive(n=n)
        self.n, self.galaxies = n, galaxies

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `reconstruction`."""
        positions = self.choose(run, self.galaxies, self.n)
        batch = run.survey.batch(self.split, positions)
        condition = batch.redshift if run.model.conditional else None
        latent = run.model.encode(batch.image, condition).mean
        predicted = None
        if hasattr(run.model, "predict"):
            predicted = run.model.predict(latent, condition)[1].cpu().numpy()
        figure = figures.reconstruction(
            run.physical(batch.image),
            run.physical(run.model.decode(latent, condition)),
            None if batch.redshift is None else batch.redshift.numpy(),
            predicted,
            positions,
            self.display(run),
        )
        return {"reconstruction": figure}


class Samples(Picture):
    """Generated galaxies: at one redshift, side by side at several, or at the survey's.

    Args:
        n: number of pictures.
        redshift: a number, a range, a list, or `survey`; what a range or a list holds is put
            side by side, for the same latents.
        steps: columns of a range.
        prior: what the latents are drawn from.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        n: int = 24,
        redshift: float | str | Sequence[float] | None = None,
        steps: int = 6,
        prior: str = "normal",
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(n=n, steps=steps)
        self.n, self.redshift, self.steps, self.prior = n, redshift, steps, prior

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `samples`."""
        by_default = SURVEY if run.model.conditional else None
        asked = run.redshifts(by_default if self.redshift is None else self.redshift)
        side_by_side = asked is not None and (asked.is_range or np.size(asked.values) > 1)
        if side_by_side and asked.values is not None:
            redshifts = asked.steps(self.steps)
            rows, columns = max(1, self.n // len(redshifts)), len(redshifts)
            made = [self._make(run, rows, np.full(rows, redshift)) for redshift in redshifts]
            images = np.stack(made, axis=1)
        else:
            columns = min(self.n, 8)
            rows = -(-self.n // columns)
            redshifts = None
            if asked is not None:
                survey = run.training_redshifts() if asked.values is None else None
                redshifts = asked.draw(self.seed, 0, rows * columns, survey)
            images = self._make(run, rows * columns, redshifts)
            images = images.reshape(rows, columns, *images.shape[1:])
            redshifts = None if redshifts is None else redshifts.reshape(rows, columns)
        peak = 1.0 if run.unit == PEAK else None
        return {"samples": figures.samples(images, redshifts, peak, self.display(run))}

    def _make(self, run: TrainedRun, n: int, redshift: np.ndarray | None) -> np.ndarray:
        return run.physical(run.model.sample(n, redshift, prior=self.prior, seed=self.seed))


class Interpolation(Picture):
    """Galaxies that change from left to right: in redshift, or from one to another.

    Args:
        n: number of galaxies, chosen at random, a row each.
        galaxies: numbers of galaxies in the split, instead.
        redshift: what they are decoded at: a range, or a list; the middle 90 % of the survey's
            where None.
        between: numbers of two galaxies; latent and redshift go from one to the other.
        steps: decoded images in a row.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        n: int = 4,
        galaxies: Sequence[int] | None = None,
        redshift: float | str | Sequence[float] | None = None,
        between: Sequence[int] | None = None,
        steps: int = 7,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(n=n, steps=steps)
        if between is not None and (isinstance(between, int | str) or len(between) != 2):
            raise ValueError(f"between is {between}, it takes two galaxies: between=[12,40]")
        if between is not None and redshift is not None:
            raise ValueError("between and redshift: the figure goes along one of them")
        self.n, self.galaxies, self.steps = n, galaxies, steps
        self.redshift, self.between = redshift, between

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `interpolation`.

        Raises:
            GalgenError: if the run's model knows no redshift to go along.
        """
        if self.between is not None:
            return {"interpolation": self._between(run)}
        if not run.model.conditional and self.redshift is None:
            raise GalgenError(
                f"{run.name} is a {run.model.name}, which knows no redshift to go along; give two "
                "galaxies, between=[0,1]"
            )
        asked = run.redshifts(SURVEY if self.redshift is None else self.redshift)
        survey = run.training_redshifts() if asked.values is None else None
        redshifts = asked.steps(self.steps, survey)
        positions = self.choose(run, self.galaxies, self.n)
        images, own = decode_at(run, self.split, positions, redshifts)
        labels = [f"no. {p}\nz = {z:.2f}" for p, z in zip(positions, own, strict=True)]
        titles = ["survey", *(f"z = {redshift:.2f}" for redshift in redshifts)]
        return {"interpolation": figures.interpolation(images, titles, labels, self.display(run))}

    def _between(self, run: TrainedRun) -> Figure:
        positions = self.choose(run, self.between, 2)
        batch = run.survey.batch(self.split, positions)
        condition = batch.redshift if run.model.conditional else None
        ends = run.model.encode(batch.image, condition).mean
        way = torch.linspace(0, 1, self.steps, device=ends.device)
        latent = torch.lerp(ends[:1], ends[1:], way[:, None])
        if condition is not None:
            condition = torch.lerp(condition[0].to(way), condition[1].to(way), way)
        decoded = run.physical(run.model.decode(latent, condition))
        originals = run.physical(batch.image)
        images = np.concatenate([originals[:1], decoded, originals[1:]])[None]
        titles = [f"{share:.0%}" for share in way.tolist()]
        if condition is not None:
            titles = [f"z = {z:.2f}" for z in condition.tolist()]
        first, last = (f"no. {position}" for position in positions)
        return figures.interpolation(images, [first, *titles, last], [""], self.display(run))


class Traversal(Picture):
    """What each latent dimension does to a galaxy, a row a dimension, sorted by KL.

    Args:
        galaxy: number of the galaxy in the split; a random one where None.
        dimensions: at most so many, those of the largest KL.
        limit: the latent goes from -limit to limit.
        steps: images in a row.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxy: int | None = None,
        dimensions: int = 8,
        limit: float = 3.0,
        steps: int = 7,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(dimensions=dimensions, steps=steps, limit=limit)
        self.galaxy, self.dimensions, self.limit, self.steps = galaxy, dimensions, limit, steps

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `traversal`."""
        position = self.choose(run, self.galaxy, 1)[0]
        latents = encode_part(run, self.split)
        order = np.argsort(latents.kl)[::-1][: self.dimensions]
        values = np.linspace(-self.limit, self.limit, self.steps)
        latent = np.tile(latents.mean[position], (len(order), self.steps, 1))
        for row, dimension in enumerate(order):
            latent[row, :, dimension] = values
        condition = latents.redshift[position] if run.model.conditional else None
        flat = latent.reshape(-1, latent.shape[-1])
        images = np.concatenate(
            [
                run.physical(run.model.decode(flat[start : start + self.steps], condition))
                for start in range(0, len(flat), self.steps)
            ]
        )
        images = images.reshape(len(order), self.steps, *images.shape[1:])
        figure = figures.traversal(images, values, order, latents.kl[order], self.display(run))
        return {"traversal": figure}


class Latent(Picture):
    """The latent space of a split: pairs of dimensions against N(0, 1), KL of each, active ones.

    Args:
        dimensions: numbers of the dimensions in the corner plot; the six of the largest KL where
            None; `all` takes all.
        colour: `redshift`, or None for counts.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, dimensions: Sequence[int] | str | None = None, colour: str | None = None, **arguments
    ):
        super().__init__(**arguments)
        if colour not in (None, "redshift"):
            raise ValueError(f"colour is {colour!r}, it can be null or redshift")
        self.dimensions, self.colour = dimensions, colour

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figures `latent` and `latent_kl`."""
        return self._figures(self.encode(run))

    def write(self, run: TrainedRun, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Draw, and write figures and latents."""
        latents = self.encode(run)
        paths = save_all(self._figures(latents), folder, formats)
        path = folder / f"latents_{self.split}.h5"
        facts = {"run": run.name, "config_sha256": run.config_sha256}
        latents.save(path, {**facts, "split": self.split, "seed": self.seed})
        return [*paths, path]

    def encode(self, run: TrainedRun) -> Latents:
        """Return the latents of the split."""
        self.choose(run, None, 1)
        return encode_part(run, self.split, self.seed)

    def _figures(self, latents: Latents) -> dict[str, Figure]:
        chosen = self._chosen(latents)
        if self.colour and not np.isfinite(latents.redshift).any():
            raise GalgenError("colour=redshift: the survey has no redshifts")
        corner = figures.corner(
            latents.sample[:, chosen],
            [f"$z_{{{dimension}}}$" for dimension in chosen],
            latents.redshift if self.colour else None,
            "mean redshift",
        )
        return {"latent": corner, "latent_kl": figures.kl_by_dimension(latents.kl, latents.active)}

    def _chosen(self, latents: Latents) -> np.ndarray:
        there = latents.mean.shape[1]
        if self.dimensions == "all":
            return np.arange(there)
        if self.dimensions is None:
            return np.argsort(latents.kl)[::-1][:LEGIBLE_PAIRS]
        chosen = self.dimensions if isinstance(self.dimensions, list) else [self.dimensions]
        if not chosen:
            raise GalgenError("dimensions=[]: name one at least, or leave it out")
        bad = [d for d in chosen if type(d) is not int or not 0 <= d < there]
        if bad:
            raise GalgenError(f"dimensions: {bad[0]} is none of 0 to {there - 1}")
        return np.array(chosen)


class Losses:
    """The loss curves of one run or several.

    Args:
        scale: `log` or `linear`.

    Raises:
        ValueError: if the scale is another.
    """

    def __init__(self, scale: str = "log"):
        if scale not in ("log", "linear"):
            raise ValueError(f"scale is {scale!r}, it can be log or linear")
        self.scale = scale

    def write(
        self, curves: dict[str, list[dict]], folder: Path, formats: Sequence[str] = FORMATS
    ) -> list[Path]:
        """Draw curves by label, as `runs.read_curves` gives them, and write the figure."""
        return save_all({"losses": figures.losses(curves, self.scale)}, folder, formats)


def decode_at(
    run: TrainedRun, split: str, positions: np.ndarray, redshifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decode galaxies of a conditional run at other redshifts than their own.

    Args:
        run: the trained run.
        split: part of its survey.
        positions: of the galaxies in it, (N,).
        redshifts: (steps,).

    Returns:
        The galaxies and what is decoded at each redshift, (N, 1 + steps, H, W), and the
        galaxies' own redshifts, (N,).
    """
    batch = run.survey.batch(split, positions)
    latent = run.model.encode(batch.image, batch.redshift).mean
    columns = [run.physical(batch.image)]
    columns += [run.physical(run.model.decode(latent, float(z))) for z in redshifts]
    return np.stack(columns, axis=1), batch.redshift.numpy()


def save_all(drawn: dict[str, Figure], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write figures by name in each format; return the files.

    Raises:
        OSError: if the folder cannot be written to.
    """
    paths = []
    for name, figure in drawn.items():
        for ending in formats:
            paths.append(folder / f"{name}{ending}")
            figures.save(figure, paths[-1])
    return paths


def check_positive(**numbers: float) -> None:
    """Check that numbers are positive.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}, it must be positive")
