"""The evaluation of a run: what is measured, scored, and set beside what."""

import functools
import importlib.metadata
from dataclasses import dataclass

import numpy as np
import torch

from galgen.draws import CHOICE, uniform
from galgen.errors import GalgenError
from galgen.evaluation import metrics, sersic
from galgen.evaluation.features import FeatureEncoder
from galgen.evaluation.likelihood import evidence, reconstruction
from galgen.evaluation.observation import Observation
from galgen.evaluation.power import power_spectrum
from galgen.evaluation.sample import Sample, measured
from galgen.evaluation.scores import FEWEST, RedshiftRegressor, score, score_redshifts
from galgen.latents import encode_part
from galgen.models.vae import DECODED_TOGETHER, in_blocks
from galgen.trained import TrainedRun

FEW = 500
"""Galaxies whose evidence is computed."""
CONTROL = 2500
"""Galaxies of the controls that are made for the purpose."""
SHOWN = 64
"""Galaxies of each sample that are kept as images."""
VERSIONS = ("galgen", "torch", "numpy", "scipy", "scikit-learn", "galsim")
REGRESSED = ("magnitude", "snr")
"""Columns that the redshift regression has beside the statistics, where they are measured."""


@dataclass
class Result:
    """What an evaluation found."""

    facts: dict
    """What evaluation.json holds."""
    samples: dict[str, Sample]
    """By name: `real`, the priors (the first seed's), and the controls."""
    images: dict[str, np.ndarray]
    """Some of each sample, (SHOWN, H, W), as they were measured."""
    distances: dict[str, dict[str, metrics.Score]]
    """Wasserstein distances by sample and statistic."""
    training_images: np.ndarray
    """Of the training part, (N, H, W)."""
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
        report: is told what is being done.

    Raises:
        GalgenError: if the test part is too small, or a prior was not fitted.
    """

    def __init__(self, run: TrainedRun, n: int, priors: list[str], seeds: int, report=print):
        self.run, self.n, self.priors, self.seeds, self.report = run, n, priors, seeds, report
        there = len(run.survey.parts["test"])
        if there < 2 * FEWEST:
            raise GalgenError(
                f"{run.name} has {there} galaxies in its test part, which alone is evaluated; it "
                f"takes {2 * FEWEST} at least (data.split is {run.survey.split})"
            )
        for prior in priors:
            if prior != "normal":
                run.model.priors[prior]  # to fail before the work begins
        self.observation, self.notes = Observation(run), []
        self.images: dict[str, np.ndarray] = {}
        self.samples: dict[str, Sample] = {}
        self.encoder, self.regressor = None, None
        self.scores, self.scatter, self.distances = {}, {}, {}
        order = np.argsort(uniform(0, CHOICE, 0, there, 1)[:, 0])
        self.positions = order[:n]
        if n > there:
            self.notes.append(
                f"n={n} is more than the test part has: {there} real galaxies, whose redshifts "
                "are used several times"
            )
        if run.pixel_scale is None:
            self.notes.append("the pixel scale is not known: sizes are in px")

    def evaluate(self) -> Result:
        """Measure and score everything."""
        self._leave_out()
        self.report("measuring the survey's galaxies")
        places = {"real": ("test", self.positions), "training": ("train", self._training())}
        for name, place in places.items():
            images = self.observation.real(*place)
            self._keep(self._measure(name, images, *place), images)
        self._learn_features()
        for prior in self.priors:
            self._score_prior(prior)
        self._score_controls()
        facts = self._facts() | self._scored() | self._likelihoods()
        shown = {name: images[:SHOWN] for name, images in self.images.items()}
        spectra = {}
        for name, images in self.images.items():
            wavenumber, power = power_spectrum(images)
            spectra[name] = power.mean(axis=0)
        training = self.images["training"]
        return Result(facts, self.samples, shown, self.distances, training, wavenumber, spectra)

    def _score_controls(self) -> None:
        """Score what says how good, or how bad, a score can be."""
        self.report("the controls")
        self._reconstruct()
        self._draw_sersic()
        real = self.samples["real"]
        for name in ("posterior", "sersic", "training"):
            if name in self.samples:
                self.scores[name], self.distances[name] = self._score(real, self.samples[name])
        first = np.arange(len(real)) % 2 == 0
        self.scores["real_half"], self.distances["real_half"] = self._score(
            real[first], real[~first]
        )
        if self.regressor:
            self.scores["shuffled"] = {
                key.removesuffix("_shuffled"): value
                for key, value in self.scores["real_half"].items()
                if key.endswith("_shuffled")
            }

    def _scored(self) -> dict:
        """Return the scores as evaluation.json holds them."""
        names = self.observation.statistics
        return {
            "scores": self.scores,
            "scatter_over_seeds": self.scatter,
            "wasserstein": {
                name: {statistic: vars(value) for statistic, value in found.items()}
                for name, found in self.distances.items()
            },
            "not_measured": {name: sample.causes(names) for name, sample in self.samples.items()},
        }

    def _leave_out(self) -> None:
        columns = self.run.survey.stamps.columns
        redshift = columns.get("redshift")
        self.has_redshift = redshift is not None and bool(np.isfinite(redshift).any())
        if not self.has_redshift:
            self.notes.append("the survey has no redshifts: nothing is scored by redshift")
        if self.run.zero_point is None:
            self.notes.append("no magnitudes: the run's images have no unit with a zero point")
        if self.observation.peak:
            self.notes.append("fluxes are in units of a galaxy's brightest pixel")

    def _training(self) -> np.ndarray:
        return np.arange(min(self.n, len(self.run.survey.parts["train"])))

    def _redshift(self, part: str, positions: np.ndarray) -> np.ndarray | None:
        """Return the redshifts of galaxies of a part, (n,), NaN where unknown."""
        if not self.has_redshift:
            return None
        rows = self.run.survey.parts[part].rows[positions]
        return self.run.survey.stamps.columns["redshift"][rows].astype(float)

    def _measure(self, name: str, images: np.ndarray, part: str, positions: np.ndarray) -> Sample:
        """Measure images that have the redshifts and the noise of galaxies of a part."""
        scale, zero_point = self.run.pixel_scale or 1.0, self.run.zero_point
        variance = self.observation.variance(part, positions)
        redshift = self._redshift(part, positions)
        sample = measured(name, images, scale, zero_point, variance, redshift)
        if self.encoder:
            sample.features = self.encoder(images)
        return sample

    def _keep(self, sample: Sample, images: np.ndarray) -> None:
        self.samples[sample.name], self.images[sample.name] = sample, images

    def _learn_features(self) -> None:
        self.report("training the feature encoder and the redshift regression on the training part")
        names, training = self.observation.statistics, self.samples["training"]
        targets = training.table(names)
        if self.has_redshift:
            targets = np.column_stack([targets, training.redshift])
            more = [
                name for name in REGRESSED if np.isfinite(training.columns.get(name, np.nan)).any()
            ]
            self.regressor = RedshiftRegressor(training, [*names, *more])
        self.encoder = FeatureEncoder(self.images["training"], targets)
        for sample in self.samples.values():
            sample.features = self.encoder(self.images[sample.name])

    def _score_prior(self, prior: str) -> None:
        """Generate with every seed: mean scores, their scatter, and the first's distances."""
        found = []
        for seed in range(self.seeds):
            self.report(f"prior={prior}, seed {seed}")
            images, positions = self._generate(prior, seed), np.resize(self.positions, self.n)
            sample = self._measure(prior, images, "test", positions)
            scores, distances = self._score(self.samples["real"], sample)
            found.append(scores | self._score_latents(prior, seed))
            if seed == 0:
                self._keep(sample, images)
                self.distances[prior] = distances
        keys = list(dict.fromkeys(key for scores in found for key in scores))
        table = {key: [scores.get(key, np.nan) for scores in found] for key in keys}
        self.scores[prior] = {key: float(np.mean(values)) for key, values in table.items()}
        self.scatter[prior] = {key: float(np.std(values)) for key, values in table.items()}

    def _generate(self, prior: str, seed: int) -> np.ndarray:
        """Generate galaxies with the test galaxies' redshifts, as they are measured."""
        positions = np.resize(self.positions, self.n)
        asked = self._redshift("test", positions) if self.run.model.conditional else None
        images = self.run.physical(self.run.model.sample(self.n, asked, prior, seed))
        return self.observation.generated(images, positions, seed)

    def _score(self, real: Sample, generated: Sample) -> tuple[dict, dict[str, metrics.Score]]:
        names, core = self.observation.statistics, self.observation.core
        scores, distances = score(real, generated, names, core)
        if generated.features is not None:
            scores["memorisation"] = metrics.memorisation(
                self.samples["training"].features, generated.features, real.features
            )
        if self.regressor and generated.name != "training":  # which the trees have learned
            scores |= score_redshifts(real, generated, core, self.regressor)
        return scores, distances

    def _score_latents(self, prior: str, seed: int) -> dict[str, float]:
        """Tell latents of test galaxies from those of the prior at the same redshifts."""
        latents, model = self.latents, self.run.model
        redshift = model.tensor(latents.redshift) if model.conditional else None
        drawn = model.draw_latents(len(latents.sample), redshift, prior, seed).cpu().numpy()
        return {"c2st_latents": metrics.c2st(latents.sample, drawn, seed)}

    @functools.cached_property
    def latents(self):
        """The latents of the test part."""
        return encode_part(self.run, "test")

    def _reconstruct(self) -> None:
        """Decode posterior samples of the test galaxies: what the best prior would come to."""
        model, positions = self.run.model, self.positions[:CONTROL]
        latent = torch.from_numpy(self.latents.sample[positions]).float()
        columns = [latent.to(model.device)]
        if model.conditional:
            columns.append(model.tensor(self.latents.redshift[positions]))
        images = self.run.physical(in_blocks(model.decode, DECODED_TOGETHER, 0, *columns))
        seen = self.observation.generated(images, positions, seed=CONTROL)
        self._keep(self._measure("posterior", seen, "test", positions), seen)

    def _draw_sersic(self) -> None:
        """Draw the survey's Sérsic profiles, where it has such."""
        stamps, positions = self.run.survey.stamps, self.positions[:CONTROL]
        rows = self.run.survey.parts["test"].rows[positions]
        parameters = sersic.sersic_columns(stamps.columns)
        if parameters is None or "psf" not in stamps.stacks or self.run.pixel_scale is None:
            self.notes.append("no parametric control: the survey has no Sérsic profiles or no PSF")
            return
        chosen = {name: values[rows] for name, values in parameters.items()}
        usable = np.isfinite(np.stack(list(chosen.values()))).all(axis=0) & (chosen["radius"] > 0)
        positions = positions[usable]
        chosen = {name: values[usable] for name, values in chosen.items()}
        size, scale = self.run.model.image_size, self.run.pixel_scale
        light = sersic.draw(chosen, self.observation.psfs(positions), size, scale)
        if self.observation.peak:
            seen = self.observation.normalised(light, "test", positions)
        else:
            seen = self.observation.with_noise(light, positions, seed=CONTROL + 1)
        self._keep(self._measure("sersic", seen, "test", positions), seen)

    def _likelihoods(self) -> dict:
        self.report("reconstructions and evidence")
        latents, run = self.latents, self.run
        bound = evidence(run, self.positions[:FEW], self.priors)
        collapsed = np.flatnonzero(~latents.active).tolist()
        if collapsed:
            self.notes.append(f"collapsed latent dimensions (counted from 0): {collapsed}")
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

    def _facts(self) -> dict:
        run = self.run
        name = str(run.facts["survey"])
        recipe = run.survey.stamps.attrs.get("recipe", "")
        return {
            "run": run.name,
            "model": run.model.name,
            "survey": name,
            "simulated": "simulated" in (name, run.attributes.get("survey")),
            "recipe": recipe,
            "split": "test",
            "n": self.n,
            "real": len(self.positions),
            "priors": self.priors,
            "seeds": list(range(self.seeds)),
            "compared": self.observation.what,
            "statistics": list(self.observation.statistics),
            "headline": list(self.observation.core),
            "unit": run.unit,
            "weights_sha256": run.model.weights_sha256,
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
            "device": str(run.model.device),
            "threads": torch.get_num_threads(),
        }
