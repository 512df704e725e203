"""Fitting priors to the latents of a run, and the distribution of its survey's conditions."""

import copy
import logging
import math
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from galgen.config.explanations import explain
from galgen.config.targets import instantiate
from galgen.data.stamp_file import known_redshifts
from galgen.errors import GalgenError
from galgen.priors import fitted as fitted_priors
from galgen.runs.encoded_survey import Latents, encode_part
from galgen.runs.trained_run import TrainedRun
from galgen.training.clusters import cluster
from galgen.training.progress import FittingProgress

COLUMNS = ("redshift", "magnitude", "flux_radius")
"""Of a survey, those that galaxies are conditional on."""
PARTS = ("train", "val")


class Fit:
    """What is fitted to a run, and what it is fitted with.

    Args:
        run: the trained run.
        config: composed config of the command `fit_prior`.

    Raises:
        GalgenError: if its survey is missing, or its latents are not finite.
    """

    def __init__(self, run: TrainedRun, config: DictConfig):
        self.run, self.config = run, config
        self.part: dict[str, Latents] = {
            part: encode_part(run, part, config.seed) for part in PARTS
        }
        for part, latents in self.part.items():
            if not (np.isfinite(latents.mean).all() and np.isfinite(latents.std).all()):
                raise GalgenError(
                    f"{run.directory}: latents of galaxies of the part '{part}' are not finite. "
                    "Train the model again, with a lower learning rate"
                )
        columns = {part: self._columns(part) for part in PARTS}
        learnable = [name for name, v in columns["train"].items() if not np.isnan(v).all()]
        self.columns = {part: {n: columns[part][n] for n in learnable} for part in PARTS}

    def latents(self) -> str:
        """Say how many latents there are, and what of them varies."""
        latents, n = self.part["train"], len(self.part["train"].row)
        text = f"{n} galaxies, {latents.active.sum()} of {latents.mean.shape[1]} dimensions active"
        collapsed = np.flatnonzero(~latents.active)
        if len(collapsed):
            text += f"; collapsed to the prior: {', '.join(map(str, collapsed))} (counted from 0)"
        return text

    def prior(self, kind: str) -> str:
        """Fit one of `fitted_priors.PRIORS`, save it in the run, and say how good it is.

        Raises:
            GalgenError: if the latents do not suffice for it.
        """
        required = int(self.run.model.conditional)
        names = self._condition_names()[: required if kind == "gmm" else None]
        arguments = {
            **_arguments(self.config[kind]),
            "latent_dim": self.run.model.latent_dim,
            "conditions": len(names),
            "required": required,
        }
        torch.manual_seed(self.config.seed)
        data = {part: self._tensors(part, names) for part in PARTS}
        try:
            module = fitted_priors.build(kind, arguments)
            epochs = self._fit(kind, module, data)
        except ValueError as error:
            raise GalgenError(f"{kind}: {explain(error)}") from error
        sample = torch.from_numpy(self.part["val"].sample).float()
        conditions = data["val"][2]
        conditions[:, required:] = torch.nan
        with torch.no_grad():
            density = module.eval().cpu().log_prob(sample, conditions).mean()
        normal = 0.5 * (sample.square() + math.log(2 * math.pi)).sum(dim=1).mean()
        about = {
            "arguments": arguments,
            "condition_names": list(names),
            "ranges": {name: _range(self.columns["train"][name]) for name in names},
            "weights_sha256": self.run.model.weights_sha256,
            "val_nll": -float(density),
            "val_nll_normal": float(normal),
        }
        path = fitted_priors.save(self.run.directory, kind, module, about)
        after = f" after {epochs} epochs" if epochs else ""
        found = (
            f"{path}: held-out latents cost {-density:.2f} nats{after}; under N(0, 1) {normal:.2f}"
        )
        if not density > -normal:
            found += (
                f". It is worse than no fit, so it is used only where prior={kind} asks for it: "
                f"{len(sample)} held-out and {len(data['train'][0])} training galaxies are too few "
                "for its parameters"
            )
        return found

    def conditions(self) -> str:
        """Fit the survey's conditions, save them in the run, and say what they are."""
        names = [name for name in COLUMNS if name in self.columns["train"]]
        if not names:
            return f"{self.run.name}: its survey has no redshifts, magnitudes or sizes to learn"
        arguments = {**_arguments(self.config.conditions), "names": names}
        torch.manual_seed(self.config.seed)
        rows = {
            part: np.stack([self.columns[part][name] for name in names], axis=1) for part in PARTS
        }
        rows = {part: values[np.isfinite(values).all(axis=1)] for part, values in rows.items()}
        if min(len(values) for values in rows.values()) < 2:
            return f"{self.run.name}: too few galaxies have {', '.join(names)} to learn from"
        try:
            module = fitted_priors.build(fitted_priors.CONDITIONS, arguments)
            module.tabulate(rows["train"])
            if module.flow is not None:
                scores = {part: torch.from_numpy(module.scores(rows[part])) for part in PARTS}
                data = {
                    part: (values, torch.zeros_like(values), values.new_empty(len(values), 0))
                    for part, values in scores.items()
                }
                self._train(fitted_priors.CONDITIONS, module.flow, data)
        except ValueError as error:
            raise GalgenError(f"{fitted_priors.CONDITIONS}: {explain(error)}") from error
        about = {
            "arguments": arguments,
            "condition_names": names,
            "weights_sha256": self.run.model.weights_sha256,
        }
        path = fitted_priors.save(self.run.directory, fitted_priors.CONDITIONS, module.cpu(), about)
        return f"{path}: {', '.join(names)} of {len(rows['train'])} galaxies"

    def _fit(self, kind: str, module: nn.Module, data: dict[str, tuple]) -> int:
        """Fit a prior to [mean, std, conditions] of each part; return the number of epochs."""
        if kind != "gmm":
            module.standardise_by(*data["train"])
            return self._train(kind, module, data)
        samples = torch.from_numpy(self.part["train"].sample).float()
        module.fit(samples, data["train"][2], self.config.seed)
        return 0

    def _train(self, kind: str, module: pl.LightningModule, data: dict[str, tuple]) -> int:
        """Train a module until the held-out likelihood no longer rises; return the epochs."""
        module.make_optimizer = instantiate(self.config.optimizer)
        best = KeepBest()
        stop = EarlyStopping("val/nll", patience=self.config.patience, check_finite=True)
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning on torch 2.13
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            trainer = pl.Trainer(
                accelerator="cpu" if self.run.model.device.type == "cpu" else "auto",
                devices=1,
                max_epochs=self.config.max_epochs,
                gradient_clip_val=5.0,
                callbacks=[best, stop, FittingProgress(kind)],
                plugins=cluster(),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            try:
                trainer.fit(module, *(self._loader(data[part], part) for part in PARTS))
            except SystemExit:  # Lightning turns Ctrl-C into an exit
                raise KeyboardInterrupt from None
        if best.state is None:
            raise GalgenError(
                f"{self.run.directory}: the held-out likelihood was never finite; try a lower "
                "optimizer.lr"
            )
        module.load_state_dict(best.state)
        return trainer.current_epoch

    def _loader(self, tensors: tuple[Tensor, ...], part: str) -> DataLoader:
        data = TensorDataset(*tensors)
        generator = torch.Generator().manual_seed(self.config.seed)
        order = RandomSampler(data, generator=generator) if part == "train" else range(len(data))
        batches = BatchSampler(order, self.config.batch_size, drop_last=False)
        return DataLoader(data, sampler=batches, batch_size=None)

    def _tensors(self, part: str, names: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        latents = self.part[part]
        columns = np.empty((len(latents.row), len(names)), np.float32)
        for number, name in enumerate(names):
            columns[:, number] = self.columns[part][name]
        mean, std = (torch.from_numpy(values).float() for values in (latents.mean, latents.std))
        return mean, std, torch.from_numpy(columns)

    def _condition_names(self) -> list[str]:
        """Name the survey's columns that latents are conditional on."""
        return [
            name
            for name in COLUMNS
            if name in self.columns["train"] and (name != "redshift" or self.run.model.conditional)
        ]

    def _columns(self, part: str) -> dict[str, np.ndarray]:
        """Return the survey's columns of a part's galaxies, (N,) each, NaN where unknown."""
        table, rows = self.run.survey.stamps.columns, self.part[part].row
        columns = {name: table[name][rows].astype(float) for name in COLUMNS if name in table}
        if "redshift" in columns:
            columns["redshift"] = known_redshifts(columns["redshift"]).astype(float)
        return {n: np.where(np.isfinite(values), values, np.nan) for n, values in columns.items()}


class KeepBest(Callback):
    """Keep the weights with the best held-out likelihood."""

    def __init__(self):
        self.least, self.state = math.inf, None

    def on_validation_end(self, trainer, pl_module):
        """Keep the weights, if they are the best so far."""
        nll = float(trainer.callback_metrics["val/nll"])
        if nll < self.least:
            self.least, self.state = nll, copy.deepcopy(pl_module.state_dict())


def _range(values: np.ndarray) -> list[float]:
    """Return the smallest and the largest of values (N,), leaving out NaN."""
    return [float(np.nanmin(values)), float(np.nanmax(values))]


def _arguments(node: DictConfig) -> dict:
    """Return what a node of the config gives its class."""
    return {key: value for key, value in OmegaConf.to_container(node).items() if key != "_target_"}
