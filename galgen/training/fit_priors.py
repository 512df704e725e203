"""Fitting priors to the latents of a run, and the distribution of its survey's conditions."""

import logging
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from galgen.config.explanations import explain
from galgen.config.targets import instantiate, locate
from galgen.data.stamp_file import known_redshifts
from galgen.errors import GalgenError
from galgen.priors import fitted
from galgen.priors.base import Posteriors
from galgen.priors.conditions import SurveyConditions
from galgen.priors.normal import StandardNormal
from galgen.runs.conditions import COLUMNS
from galgen.runs.encoded_survey import Latents, encode_part
from galgen.runs.prior_records import forget_prior, remember_prior
from galgen.runs.trained_run import TrainedRun
from galgen.training.clusters import cluster
from galgen.training.prior_training import train_prior
from galgen.training.progress import FittingProgress

PARTS = ("train", "val")


class Fit:
    """The fits to a run, and the latents they share.

    Args:
        run: the trained run.
        seed: of weights, posterior samples and shuffling.

    Raises:
        GalgenError: if its survey is missing, or its latents are not finite.
    """

    def __init__(self, run: TrainedRun, seed: int):
        self.run, self.seed = run, seed
        self.part: dict[str, Latents] = {part: encode_part(run, part, seed) for part in PARTS}
        for part, latents in self.part.items():
            if not (np.isfinite(latents.mean).all() and np.isfinite(latents.std).all()):
                raise GalgenError(
                    f"{run.directory}: latents of galaxies of the part '{part}' are not finite. "
                    "Train the model again, with a lower learning rate."
                )
        columns = {part: self._columns(part) for part in PARTS}
        learnable = [name for name, v in columns["train"].items() if not np.isnan(v).all()]
        self.columns = {part: {n: columns[part][n] for n in learnable} for part in PARTS}

    def latents(self) -> str:
        """Say how many latents there are, and how many dimensions vary."""
        latents, n = self.part["train"], len(self.part["train"].row)
        text = f"{n} galaxies, {latents.active.sum()} of {latents.mean.shape[1]} dimensions active"
        return f"{text}; collapsed to the prior: {latents.collapsed}" if latents.collapsed else text

    def prior(self, name: str, node: DictConfig) -> str:
        """Fit a prior, save it in the run, and return how good it is.

        Args:
            name: of the prior.
            node: `_target_` and arguments of its class.

        Raises:
            GalgenError: if the latents do not suffice for it.
        """
        required = int(self.run.model.conditional)
        names = self._condition_names()
        kind, model = locate(f"prior.{name}", node["_target_"]), self.run.model
        if not kind.takes_unknown:
            names = names[:required]
        sizes = {"latent_dim": model.latent_dim, "conditions": names, "required": required}
        if kind.takes_shape:
            sizes["latent_shape"] = model.latent_shape and list(model.latent_shape)
        torch.manual_seed(self.seed)
        data = {part: self._posteriors(part, names) for part in PARTS}
        try:
            module = instantiate(node, **sizes)
            module.fit(data["train"], data["val"], self.seed, self._trainer(name))
        except ValueError as error:
            raise GalgenError(f"prior={name}: {explain(error)}") from error
        density, normal = self._densities(module, data["val"], required)
        about = {
            "ranges": {column: _range(self.columns["train"][column]) for column in names},
            "weights_sha256": self.run.weights_sha256,
            "val_nll": -density,
            "val_nll_normal": -normal,
        }
        path = fitted.save(
            self.run.directory, name, module, {**OmegaConf.to_container(node), **sizes}, about
        )
        found = f"{path}: held-out latents cost {-density:.2f} nats; under N(0, 1) {-normal:.2f}"
        if not density > normal:
            found += (
                f". It is worse than no fit, so it is used only where prior={name} asks for it: "
                f"{len(data['train'].sample)} training galaxies may be too few for its parameters, "
                "or its training too short"
            )
        return found

    def conditions(self) -> str:
        """Fit the survey's conditions, save them in the run, and return which they are."""
        names = self._condition_names()
        if not names:
            return f"{self.run.name}: its survey has no redshifts, magnitudes or sizes to learn"
        columns = {
            part: np.stack([self.columns[part][name] for name in names], axis=1) for part in PARTS
        }
        rows = {part: values[np.isfinite(values).all(axis=1)] for part, values in columns.items()}
        if min(map(len, rows.values())) < 2:
            return f"{self.run.name}: too few galaxies have {', '.join(names)} to learn from"
        torch.manual_seed(self.seed)
        module = SurveyConditions(names)
        try:
            trainer = self._trainer(fitted.CONDITIONS)
            module.fit(rows["train"], rows["val"], self.seed, trainer)
        except ValueError as error:
            raise GalgenError(f"conditions: {explain(error)}") from error
        target = f"{SurveyConditions.__module__}.{SurveyConditions.__qualname__}"
        path = fitted.save(
            self.run.directory,
            fitted.CONDITIONS,
            module.cpu(),
            {"_target_": target, "names": names},
            {"weights_sha256": self.run.weights_sha256},
        )
        found = f"{path}: {', '.join(names)} of {len(rows['train'])} galaxies"
        unknown = [name for name in COLUMNS if name not in names]
        if unknown:
            found += (
                f"; no galaxy can be asked for by {' or '.join(unknown)}, which the survey lacks"
            )
        return found

    def _trainer(self, name: str) -> Callable:
        """Return what trains a prior, (prior, train, val, seed), and shows its progress."""

        def make_trainer(max_epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
            return pl.Trainer(
                accelerator="cpu" if self.run.model.device.type == "cpu" else "auto",
                devices=1,
                max_epochs=max_epochs,
                gradient_clip_val=5.0,
                callbacks=[*callbacks, FittingProgress(name)],
                plugins=cluster(),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )

        def train(prior, train: Posteriors, val: Posteriors, seed: int) -> None:
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning on torch 2.13
                warnings.filterwarnings("ignore", message=".*does not have many workers")
                train_prior(prior, train, val, seed, make_trainer)

        return train

    @torch.no_grad()
    def _densities(self, module, held_out: Posteriors, required: int) -> tuple[float, float]:
        """Return the mean log-density of held-out latents under a prior and N(0, 1), nats.

        Conditions that may be unknown are taken for unknown.
        """
        conditions = held_out.conditions.clone()
        conditions[:, required:] = torch.nan
        normal = StandardNormal(held_out.sample.shape[1])
        return tuple(
            float(prior.log_prob(held_out.sample, conditions).mean())
            for prior in (module.eval().cpu(), normal)
        )

    def _posteriors(self, part: str, names: list[str]) -> Posteriors:
        latents = self.part[part]
        columns = np.empty((len(latents.row), len(names)), np.float32)
        for number, name in enumerate(names):
            columns[:, number] = self.columns[part][name]
        arrays = (latents.mean, latents.std, latents.sample, columns)
        return Posteriors(*(torch.from_numpy(values).float() for values in arrays))

    def _condition_names(self) -> list[str]:
        """Name the survey's columns that latents are conditional on."""
        return [name for name in COLUMNS if name in self.columns["train"]]

    def _columns(self, part: str) -> dict[str, np.ndarray]:
        """Return the survey's columns of a part's galaxies, (N,) each, NaN where unknown."""
        stamps, rows = self.run.survey.stamps, self.part[part].row
        columns = {
            name: stamps.by_galaxy(column)[rows].astype(float)
            for name, column in COLUMNS.items()
            if column in stamps.columns
        }
        if "redshift" in columns:
            columns["redshift"] = known_redshifts(columns["redshift"]).astype(float)
        return {n: np.where(np.isfinite(values), values, np.nan) for n, values in columns.items()}


def fit_priors(run: TrainedRun, nodes: Mapping[str, DictConfig], seed: int) -> None:
    """Fit priors to a run, and the distribution of its survey's conditions, and print how good.

    Args:
        run: the trained run.
        nodes: `_target_` and arguments of the priors by name.
        seed: of weights, posterior samples and shuffling.

    Raises:
        GalgenError: if the survey is missing, or the latents do not suffice.
    """
    fit = Fit(run, seed)
    print(f"{run.name}: {fit.latents()}", flush=True)
    for name, node in nodes.items():
        forget_prior(run.directory, name)
        started = time.perf_counter()
        found = fit.prior(name, node)
        remember_prior(run.directory, name, node, seed)
        print(f"{found} ({time.perf_counter() - started:.0f} s)", flush=True)
    started = time.perf_counter()
    print(f"{fit.conditions()} ({time.perf_counter() - started:.0f} s)", flush=True)


def _range(values: np.ndarray) -> list[float]:
    """Return the smallest and the largest of values (N,), leaving out NaN."""
    return [float(np.nanmin(values)), float(np.nanmax(values))]
