"""The training of a model, as Lightning runs it."""

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from galgen.errors import GalgenError
from galgen.models.vae import VAE
from galgen.training.epoch_means import EpochMeans

MONITOR = "val/loss"
"""Metric that a plateau schedule goes by."""
TRAINING, VALIDATION = 1, 2
"""First number of the seed of a step's noise."""
NOT_CALLED = ("training_step", "validation_step", "configure_optimizers")
"""Methods of a LightningModule that a model has no use for."""
PREFIX = "model."
"""Of the weights' names, which checkpoints leave out."""


class ModelTraining(LightningModule):
    """What Lightning trains: a model, with the steps, sums and schedules of its training.

    The model itself needs no Lightning, which takes longer to import than a galaxy to generate.

    Args:
        model: to be trained; it says its loss, beta schedule, optimizer, learning-rate schedule and
            seed.

    Raises:
        GalgenError: if the model has methods that Lightning would call of a LightningModule.
    """

    def __init__(self, model: VAE):
        super().__init__()
        if own := [name for name in NOT_CALLED if hasattr(model, name)]:
            raise GalgenError(
                f"model={model.name}: nobody calls its {', '.join(own)}, since ModelTraining takes "
                "the steps. Change the model's loss, or its optimizer."
            )
        self.model = model
        self.means = {"train": EpochMeans(), "val": EpochMeans()}
        # Checkpoints hold the model's own names, so that they are read without this class.
        self.register_state_dict_post_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    def on_train_start(self):
        """Remember the length of the training, which the beta schedule is a function of.

        A checkpoint may come from where networks lay in memory in another way, and a fused
        optimizer takes for granted that its moments lie as the weights do.
        """
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        for optimizer in self.trainer.optimizers:
            for weight, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.shape == weight.shape:
                        state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)

    def training_step(self, batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch at the schedule's beta, as this process counts in it."""
        beta = self.model.beta_schedule(self.global_step, self.total_steps)
        generator = self.generator(TRAINING, self.current_epoch, batch_idx)
        loss = self.model.loss(batch, beta, self.noise(batch, generator))
        self.means["train"].add(loss, beta, batch.share.galaxies)
        minimised = loss.total if loss.tempered is None else loss.tempered
        return minimised * batch.share.weight

    def validation_step(self, batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch at the schedule's last beta, with the same noise each time."""
        beta = self.model.beta_schedule.beta
        loss = self.model.loss(
            batch, beta, self.noise(batch, self.generator(VALIDATION, batch_idx))
        )
        self.means["val"].add(loss, beta, batch.share.galaxies)
        return loss.total

    def on_validation_epoch_end(self):
        """Log the means over the validation part."""
        self._log("val")

    def on_train_epoch_end(self):
        """Log the means over the training part, and tell a plateau schedule the validation loss.

        Lightning would tell it after the checkpoints, and a resume would not make up for it.
        """
        self._log("train")
        loss = self.trainer.callback_metrics.get(MONITOR)
        for node in self.trainer.lr_scheduler_configs:
            if node.reduce_on_plateau and loss is not None:
                node.scheduler.step(loss)

    def lr_scheduler_step(self, scheduler, metric) -> None:
        """Step a schedule of the epochs, when Lightning asks for it."""
        if metric is None:
            scheduler.step()

    def _log(self, part: str) -> None:
        means = self.means[part].over_ranks(self.trainer.strategy)
        self.log_dict({f"{part}/{name}": value for name, value in means.items()})
        self.means[part] = EpochMeans()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the means of an epoch that has not ended."""
        checkpoint["means"] = self.means["train"].state_dict(self.trainer.strategy)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take up the means of an epoch that had not ended."""
        if self.trainer.is_global_zero:
            self.means["train"].load_state_dict(checkpoint.get("means", {}))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of a step, also of a fused optimizer.

        Lightning refuses to under autocast, since such an optimizer may unscale gradients itself;
        in bfloat16 they are not scaled.
        """
        if self.trainer.precision == "16-mixed":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def configure_optimizers(self):
        """Return the optimizer and, where there is one, its schedule, stepped each epoch."""
        optimizer = self.model.make_optimizer(self.model.parameters())
        if not self.model.make_lr_schedule:
            return optimizer
        schedule = {"scheduler": self.model.make_lr_schedule(optimizer), "monitor": MONITOR}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def noise(self, batch, generator: torch.Generator) -> Tensor:
        """Draw the standard normal numbers of a batch's latents, (N, latent_dim).

        Several processes that divide a batch draw those of the whole.

        Args:
            batch: `galgen.data.batch.Batch`.
            generator: on the model's device.
        """
        rank, ranks, total = batch.share
        shape = (max(total, rank + 1), self.model.latent_dim)
        return torch.randn(shape, generator=generator, device=generator.device)[rank::ranks]

    def generator(self, *counters: int) -> torch.Generator:
        """Return the generator of a step's noise, a function of (seed, counters) alone.

        A resumed run then continues as the uninterrupted one would have, without any generator's
        state in the checkpoint.
        """
        sequence = np.random.SeedSequence([self.model.seed, *counters])
        state = sequence.generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(state[0]))


def _without_prefix(module, state: dict, prefix: str, *_) -> None:
    _rename(state, prefix + PREFIX, prefix)


def _with_prefix(module, state: dict, prefix: str, *_) -> None:
    _rename(state, prefix, prefix + PREFIX)


def _rename(state: dict, old: str, new: str) -> None:
    renamed = {
        new + name.removeprefix(old) if name.startswith(old) else name: value
        for name, value in state.items()
    }
    state.clear()
    state.update(renamed)
