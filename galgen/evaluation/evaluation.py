"""The evaluation of a run: its samples are measured, scored and compared with controls."""

import functools
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from galgen.data.stamp_file import known_redshifts
from galgen.errors import GalgenError
from galgen.evaluation.band_statistics import all_names, colour_names, measure_bands
from galgen.evaluation.compared import Compared
from galgen.evaluation.controls import draw_sersic_profiles
from galgen.evaluation.description import describe
from galgen.evaluation.features import FeatureEncoder
from galgen.evaluation.likelihood import evidence, reconstruction
from galgen.evaluation.notes import note_bands, note_missing, note_pedestals
from galgen.evaluation.observation import Observation
from galgen.evaluation.power import power_spectrum
from galgen.evaluation.redshifts import RedshiftRegressor
from galgen.evaluation.sample import Sample, measured
from galgen.evaluation.scores import score
from galgen.evaluation.shear import SHEARED, shear_facts
from galgen.evaluation.two_samples import FEWEST, Score, standardised
from galgen.models.telescope import on_survey_pixels
from galgen.priors.random_numbers import CHOICE, uniform
from galgen.runs.encoded_survey import encode_part
from galgen.runs.requested_conditions import known_conditions
from galgen.runs.trained_run import TrainedRun
from galgen.runs.verdict import edge_share, spread

FEW = 500
"""Galaxies whose evidence is computed."""
CONTROL = 2500
"""Galaxies of the controls that are made for the purpose."""
SHOWN = 64
"""Galaxies of each sample that are kept as images."""
CODED = 5000
"""Number of test galaxies whose latents are compared with the prior's."""
ENCODE_BLOCK = 2048
ROWS, NEIGHBOURS = 6, 6
"""Number of generated galaxies in the figure of nearest neighbours."""
REGRESSED = ("magnitude", "snr")
"""Columns that the redshift regression has beside the statistics, where they are measured."""
LEARNED = 3000
"""Training galaxies that it learns colours from at least, where there are so many."""


@dataclass
class Result:
    """What an evaluation found."""

    facts: dict
    """What evaluation.json holds."""
    samples: dict[str, Sample]
    """By name: `real`, the priors (the first seed's), and the controls."""
    images: dict[str, np.ndarray]
    """Some of each sample, (SHOWN, B, H, W), as they were measured."""
    neighbours: dict[str, np.ndarray]
    """Training galaxies most like the first of each prior's, nearest first, (ROWS, K, B, H, W)."""
    distances: dict[str, dict[str, Score]]
    """Wasserstein distances by sample and statistic."""
    wavenumber: np.ndarray
    """Cycles per px, (bins,)."""
    spectra: dict[str, np.ndarray]
    """Mean power by sample, (bins,)."""


class Evaluation:
    """An evaluation of a run on the test part of its survey.

    Args:
        run: the trained run.
        n: galaxies that are generated; as many real ones, where the test part has them.
        priors: that latents are drawn from.
        seeds: how often it is done anew.
        report: called with a description of each step.

    Raises:
        GalgenError: if the test part is too small, or a prior was not fitted.
    """

    def __init__(self, run: TrainedRun, n: int, priors: list[str], seeds: int, report=print):
        self.run, self.n, self.priors, self.seeds, self.report = run, n, priors, seeds, report
        self.observation = Observation(run)
        self.notes, self.bands = self.observation.notes, self.observation.bands
        usable = self.observation.usable("test")
        if len(usable) < 2 * FEWEST:
            raise GalgenError(
                f"{run.name} has {len(usable)} galaxies in its test part. "
                f"An evaluation uses only these and needs at least {2 * FEWEST} "
                f"(data.split={run.survey.split}). Use a larger test part."
            )
        for prior in priors:
            run.priors[prior]  # to fail before the work begins
        self.positions = _shuffled(usable)[:n]
        self.places = np.resize(self.positions, n)  # whose redshift and noise generated ones get
        self.controls = self.positions[: min(CONTROL, len(self.positions) // 2)]
        self.samples: dict[str, Sample] = {}
        self.images: dict[str, np.ndarray] = {}
        self.spectra: dict[str, np.ndarray] = {}
        self.edges: dict[str, dict[str, float]] = {}
        self.light: dict[str, np.ndarray] = {}
        self.encoder, self.regressor, self.training_features = None, None, None
        self.scores, self.scatter, self.distances, self.by_redshift = {}, {}, {}, {}

    def evaluate(self) -> Result:
        """Measure and score everything."""
        self._note_what_is_missing()
        self.report("measuring the survey's galaxies")
        learned = max(self.n, LEARNED) if self.bands else self.n
        training = _shuffled(np.arange(len(self.run.survey.parts["train"])))[:learned]
        images = self.observation.real("train", training)
        self._keep(self._measure("training", images, "train", training), images)
        self._learn(images, training)
        images = self.observation.real("test", self.positions)
        self._keep(self._measure("real", images, "test", self.positions), images)
        for prior in self.priors:
            self._score_prior(prior)
        self._score_controls()
        self.notes += note_pedestals(self.edges)
        facts = describe(self) | self._scored() | self._likelihoods()
        facts |= shear_facts(self.observation, self.positions, self.light)
        wavenumber = power_spectrum(self.images["real"][:1, 0])[0]
        neighbours = {prior: self._neighbours(prior) for prior in self.priors if self.encoder}
        return Result(
            facts, self.samples, self.images, neighbours, self.distances, wavenumber, self.spectra
        )

    def _score_controls(self) -> None:
        """Score the controls, which show how good or bad a score can be."""
        self.report("the controls")
        self._reconstruct()
        self._draw_sersic()
        real = self.samples["real"]
        others = real[np.arange(len(real)) >= len(self.controls)]  # than those they are made of
        for name in ("posterior", "sersic", "training"):
            if name in self.samples:
                against, sample = others, self.samples[name][:CONTROL]
                self.scores[name] = self._score(name, against, sample)
        first = np.arange(len(real)) % 2 == 0
        self.scores["real_half"] = self._score("real_half", real[first], real[~first])
        shuffled = {
            key.removesuffix("_shuffled"): value
            for key, value in self.scores["real_half"].items()
            if key.endswith("_shuffled")
        }
        if shuffled:
            self.scores["shuffled"] = shuffled

    def _scored(self) -> dict:
        """Return the scores as evaluation.json holds them."""
        names, measured = self.observation.statistics, self.samples.items()
        scored = {
            "scores": self.scores,
            "scatter_over_seeds": self.scatter,
            "wasserstein": {
                name: {statistic: vars(value) for statistic, value in found.items()}
                for name, found in self.distances.items()
            },
            "edge": self.edges,
            "not_measured": {name: sample.causes(names) for name, sample in measured},
        }
        if not self.bands:
            return scored
        colours = colour_names(self.bands)
        known = {name: sample.known(colours) for name, sample in measured}
        return scored | {"colours": {"known": known, "by_redshift": self.by_redshift}}

    def _note_what_is_missing(self) -> None:
        columns = self.run.survey.stamps.columns
        self.redshift = known_redshifts(columns["redshift"]) if "redshift" in columns else None
        if self.redshift is not None and not np.isfinite(self.redshift).any():
            self.redshift = None
        has_redshifts, real = self.redshift is not None, len(self.positions)
        self.notes += note_missing(self.observation, has_redshifts, self.n, real)
        self.notes += note_bands(self.observation, self.positions)

    def _redshift(self, part: str, positions: np.ndarray) -> np.ndarray | None:
        """Return the redshifts of galaxies of a part, (n,), NaN where unknown."""
        if self.redshift is None:
            return None
        return self.redshift[self.run.survey.parts[part].rows[positions]].astype(float)

    def _measure(self, name: str, images: np.ndarray, part: str, positions: np.ndarray) -> Sample:
        """Measure images that have the redshifts and the noise of galaxies of a part."""
        band, scale = self.run.reference, self.run.pixel_scale or 1.0
        variance = self.observation.variance(part, positions)
        of_band = None if variance is None else variance[:, band]
        redshift, points = self._redshift(part, positions), self.run.zero_points
        sample = measured(name, images[:, band], scale, points[band], of_band, redshift)
        if self.bands:
            has_band = self.observation.has_band(part, positions)
            sample.columns |= measure_bands(
                images, self.bands, has_band, sample.columns, scale, points, variance
            )
        if self.encoder:
            sample.features = self.encoder(images)
        return sample

    def _keep(self, sample: Sample, images: np.ndarray) -> None:
        """Keep a sample, its mean power spectrum, and some of its images."""
        finite = images[np.isfinite(images).all(axis=(1, 2, 3)), self.run.reference]
        self.samples[sample.name], self.images[sample.name] = sample, images[:SHOWN].copy()
        self.spectra[sample.name] = power_spectrum(finite)[1].mean(axis=0)

    def _learn(self, images: np.ndarray, positions: np.ndarray) -> None:
        """Train the feature encoder and the redshift regression on galaxies of the training part.

        Args:
            images: (n, B, H, W), which the sample `training` measures.
            positions: of these galaxies in the part, (n,).
        """
        self.report("training the feature encoder and the redshift regression on the training part")
        names, training = self.observation.statistics, self.samples["training"]
        targets = training.table([*names, *colour_names(self.bands)])
        if self.redshift is not None:
            targets = np.column_stack([targets, training.redshift])
            if np.isfinite(training.redshift).sum() >= FEWEST:
                self.regressor = RedshiftRegressor(
                    training, [*names, *REGRESSED, *all_names(self.bands)]
                )
        if not self.observation.alike:
            return
        self.encoder = FeatureEncoder(images, targets)
        part = np.arange(len(self.run.survey.parts["train"]))
        blocks = np.array_split(part, -(-len(part) // ENCODE_BLOCK))
        self.training_features = np.concatenate(
            [self.encoder(self.observation.real("train", block)) for block in blocks]
        )
        training.features = self.training_features[positions]

    def _neighbours(self, prior: str) -> np.ndarray:
        """Return the training galaxies whose features are nearest to those of generated ones."""
        training, chosen = standardised(
            self.training_features, np.nan_to_num(self.samples[prior].features[:ROWS])
        )
        tree = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(training))).fit(training)
        nearest = tree.kneighbors(chosen, return_distance=False)
        images = self.observation.real("train", nearest.ravel())
        return images.reshape(*nearest.shape, *images.shape[1:])

    def _score_prior(self, prior: str) -> None:
        """Generate with every seed: mean scores, their scatter, and the first's distances."""
        found = []
        for seed in range(self.seeds):
            self.report(f"prior={prior}, seed {seed}")
            images = self._generate(prior, seed)
            sample = self._measure(prior, images, "test", self.places)
            latents = self._latents_beside(prior, seed)
            given = {"latents": latents, "latent_seed": seed}
            found.append(self._score(prior, self.samples["real"], sample, **given))
            if seed == 0:
                self._keep(sample, images)
        keys = list(dict.fromkeys(key for scores in found for key in scores))
        table = {key: [scores.get(key, np.nan) for scores in found] for key in keys}
        self.scores[prior] = {key: float(np.mean(values)) for key, values in table.items()}
        self.scatter[prior] = {key: float(np.std(values)) for key, values in table.items()}

    def _generate(self, prior: str, seed: int) -> np.ndarray:
        """Generate galaxies as they are measured, with the test galaxies' redshifts if possible."""
        known = "redshift" in known_conditions(self.run, prior)
        requested = self._redshift("test", self.places) if known else None
        images = self.run.make(self.n, {"redshift": requested}, prior, seed, 0)
        if seed == 0:
            self.edges[prior] = spread(edge_share(images))
            if self.run.model.psf_free:
                light = on_survey_pixels(images[:SHEARED], self.run.model.oversampling)
                self.light[prior] = light[:, self.run.reference].copy()
        return self.observation.generated(images, self.places, seed)

    def _score(self, name: str, real: Sample, generated: Sample, **given) -> dict[str, float]:
        """Return all metrics; keep the distances of the first sample of a name."""
        learned = generated.name == "training"  # by the regression's trees
        compared = Compared(
            real,
            generated,
            self.observation.statistics,
            self.observation.core,
            self.training_features,
            None if learned else self.regressor,
            bands=self.bands,
            structure=self.observation.structure,
            **given,
        )
        if name not in self.distances:
            self.distances[name] = compared.distances | compared.band_distances
            self.distances[name] |= compared.structure_distances
            if compared.redshift_colours:
                self.by_redshift[name] = compared.colours_by_redshift
        return score(compared)

    def _latents_beside(self, prior: str, seed: int) -> list[np.ndarray]:
        """Return latents of test galaxies, and those of the prior at the same redshifts."""
        known, chosen = known_conditions(self.run, prior), self.positions[:CODED]
        sample, redshift = self.latents.sample[chosen], self.latents.redshift[chosen]
        requested = {"redshift": redshift} if "redshift" in known else {}
        tables = [sample, self.run.draw_latents(len(sample), requested, prior, seed).cpu().numpy()]
        if requested:
            tables = [np.column_stack([table, redshift]) for table in tables]
        return tables

    @functools.cached_property
    def latents(self):
        """The latents of the test part."""
        return encode_part(self.run, "test")

    def _reconstruct(self) -> None:
        """Decode posterior samples of test galaxies, to score the decoder alone."""
        positions = self.controls
        images = self.run.light(self.latents.sample[positions], self.latents.redshift[positions])
        seen = self.observation.generated(images, positions, seed=CONTROL)
        self._keep(self._measure("posterior", seen, "test", positions), seen)

    def _draw_sersic(self) -> None:
        """Draw the survey's Sérsic profiles, where it has such."""
        drawn = draw_sersic_profiles(self.observation, self.controls, seed=CONTROL + 1)
        if drawn:
            images, positions = drawn
            self._keep(self._measure("sersic", images, "test", positions), images)

    def _likelihoods(self) -> dict:
        self.report("reconstructions and evidence")
        latents, run = self.latents, self.run
        priors = [prior for prior in self.priors if run.priors[prior].has_density]
        bound = evidence(run, self.positions[:FEW], priors)
        if latents.collapsed:
            self.notes.append(f"collapsed latent dimensions: {latents.collapsed}")
        if not bound:
            self.notes.append("no evidence: the likelihood is a squared error with beta 0")
        return {
            "reconstruction": reconstruction(run, self.positions),
            "bound": bound | {"active_units": int(latents.active.sum())},
            "aggregate_posterior": {
                "mean": latents.sample.mean(axis=0).tolist(),
                "std": latents.sample.std(axis=0).tolist(),
                "kl": latents.kl.tolist(),
            },
            "left_out": self.notes,
        }


def _shuffled(positions: np.ndarray) -> np.ndarray:
    """Return positions in an order that does not depend on the run."""
    return positions[np.argsort(uniform(0, CHOICE, 0, len(positions), 1)[:, 0])]
