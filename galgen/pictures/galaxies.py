"""Pictures of galaxies: reconstructed, generated, and on their way to others."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from galgen import figures
from galgen.conditions import SURVEY, Conditions
from galgen.errors import GalgenError
from galgen.pictures.picture import Picture, check_positive
from galgen.rules import check_prior
from galgen.trained import PEAK, TrainedRun

COLUMNS = 8
"""Of generated galaxies, at most."""
PRIORS = {
    "normal": "N(0, 1)",
    "flow": "the flow over latents",
    "gmm": "a mixture of Gaussians",
    "two_stage": "a second VAE",
}
"""How figures call what latents are drawn from."""


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
        galaxies: numbers of generated galaxies instead of the first.
        redshift: a number, a range, a list, or `survey`; what a range or a list holds is put
            side by side, for the same latents.
        magnitude: AB, a number for all; of priors that know it.
        flux_radius: half-light radius, arcsec, likewise.
        steps: columns of a range.
        prior: what the latents are drawn from; the run's default where None.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        n: int = 24,
        galaxies: Sequence[int] | None = None,
        redshift: float | str | Sequence[float] | None = None,
        magnitude: float | None = None,
        flux_radius: float | None = None,
        steps: int = 6,
        prior: str | None = None,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(n=n, steps=steps)
        if prior is not None:
            check_prior(prior)
        self.n, self.galaxies, self.redshift, self.steps = n, galaxies, redshift, steps
        self.others = {"magnitude": magnitude, "flux_radius": flux_radius}
        self.prior = prior

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `samples`."""
        prior = run.prior_for(self.prior, self.others)
        by_default = SURVEY if run.model.conditional else None
        wanted = by_default if self.redshift is None else self.redshift
        conditions = run.conditions({**self.others, "redshift": wanted}, prior)
        asked = conditions.asked.pop("redshift", None)
        several = asked is not None and asked.values is not None and np.size(asked.values) > 1
        if several:
            redshifts = asked.steps(self.steps)
            numbers = self._numbers(max(1, self.n // len(redshifts)))
            columns = [np.full(len(numbers), redshift) for redshift in redshifts]
            made = [self._make(run, prior, conditions, numbers, column) for column in columns]
            images = np.stack(made, axis=1)
        else:
            numbers, redshifts = self._numbers(self.n), None
            columns = max(width for width in range(1, COLUMNS + 1) if len(numbers) % width == 0)
            if asked is not None:
                survey = conditions.survey.get("redshift")
                chosen = [asked.draw(self.seed, k, 1, survey)[0] for k in numbers.tolist()]
                redshifts = np.array(chosen)
            images = self._make(run, prior, conditions, numbers, redshifts)
            redshifts = None if redshifts is None else redshifts.reshape(-1, columns)
            images = images.reshape(-1, columns, *images.shape[1:])
        others = [f", {name.replace('_', ' ')} {c.text}" for name, c in conditions.asked.items()]
        shown = figures.samples(
            images,
            redshifts,
            1.0 if run.unit == PEAK else None,
            self.display(run),
            PRIORS[prior],
            numbers if several else None,
            "".join(others),
        )
        return {"samples": shown}

    def _numbers(self, n: int) -> np.ndarray:
        """Return the numbers of the galaxies that are generated; n in whole rows, if not chosen.

        Raises:
            GalgenError: if one is no number of a galaxy.
        """
        if self.galaxies is None:
            return np.arange(n if n < COLUMNS else -(-n // COLUMNS) * COLUMNS)
        chosen = self.galaxies if isinstance(self.galaxies, Sequence) else [self.galaxies]
        if not chosen or any(type(number) is not int or number < 0 for number in chosen):
            raise GalgenError(f"galaxies={self.galaxies}: numbers of galaxies count from 0")
        return np.array(chosen)

    def _make(
        self,
        run: TrainedRun,
        prior: str,
        conditions: Conditions,
        numbers: np.ndarray,
        redshift: np.ndarray | None,
    ) -> np.ndarray:
        """Generate galaxies of some numbers and redshifts (n,), as any other command makes them."""
        places = np.arange(len(numbers))
        made = []
        for piece in [places] if self.galaxies is None else places[:, None]:
            first, n = int(numbers[piece[0]]), len(piece)
            own = None if redshift is None else redshift[piece]
            values = conditions.draw(self.seed, first, n)
            made.append(run.sample(n, own, prior, self.seed, first, **values))
        return np.concatenate(made)


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
        labels = [f"no. {p}\nredshift {z:.2f}" for p, z in zip(positions, own, strict=True)]
        titles = ["survey", *(f"redshift {redshift:.2f}" for redshift in redshifts)]
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
        first, last = (f"no. {position}" for position in positions)
        if condition is not None:
            shown = [f"redshift {z:.2f}" for z in condition.tolist()]
            titles = [f"decoded\n{title}" for title in shown]
            first, last = f"{first}\n{shown[0]}", f"{last}\n{shown[-1]}"
        return figures.interpolation(images, [first, *titles, last], [""], self.display(run))


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
