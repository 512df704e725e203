"""The beta-VAE, and what its conditional relatives share."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike
from pytorch_lightning import LightningModule
from scipy.special import ndtri
from torch import Tensor, nn
from torch.distributions import Normal

from galgen.models.beta_schedules import Constant
from galgen.models.likelihoods import SquaredError
from galgen.models.losses import EpochMeans, Loss
from galgen.models.networks import Decoder, Encoder
from galgen.priors.random_numbers import LATENT, uniform

OUTPUTS = {"sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "none": nn.Identity}
"""Activations that turn the decoder's last layer into an image."""

LOG_VARIANCE = (-20.0, 10.0)
"""Bounds of the posterior's log-variance; without them the KL of the first steps overflows."""

DECODE_BLOCK = 16
"""`sample` decodes in blocks of this size, aligned to the galaxy number, because the last bits of
a convolution depend on the batch size and galaxy i must not. They stay in a CPU's cache."""
DECODE_BLOCK_GPU = 256
"""As `DECODE_BLOCK`, where fewer would leave most of the device idle."""

LATENT_BLOCK = 256
"""`sample` draws latents from fitted priors in blocks of this size, for the same reason."""
MONITOR = "val/loss"
"""Metric that a plateau schedule goes by."""
NORMAL = "normal"
"""The prior that needs no fit."""


class VAE(LightningModule):
    """Beta-VAE of galaxy images (Kingma & Welling 2014; Higgins et al. 2017).

    Args:
        image_size: side of the stamps, px, 32 to 256.
        name: the architecture's, as in run names.
        latent_dim: size of the latent.
        width: channels after the first convolution.
        norm: `batch` (the original's) or `group`.
        output: activation of the image: `sigmoid`, `softplus` or `none`.
        code_channels: channels between the convolutions and the linear layers.
        code_kernel: kernel of the innermost convolution, 4, or 5 as in vae128.
        residual_blocks: after each convolution, in encoder and decoder.
        flux_scale: faintest light of interest, on the model's scale, where images are linear in
            flux: the encoder sees asinh(image / flux_scale), and the decoder's output is scaled by
            flux_scale times the exponential of a linear function of the latent.
        likelihood: module that maps (prediction, batch) to a cost for each galaxy.
        beta_schedule: callable that maps (step, total steps) to beta.
        optimizer: callable that makes the optimizer of the parameters.
        lr_schedule: callable that makes the learning-rate schedule of the optimizer.

    Raises:
        ValueError: if an argument is out of range.
    """

    conditional = False
    """Whether the model needs a redshift with every image and latent."""

    trained_redshifts = (0.0, math.inf)
    """Smallest and largest redshift that the model has seen, where that is known."""
    weights_sha256 = ""
    """Hash of the checkpoint that the weights are from."""
    psf_free = False
    """Whether images are those in front of the telescope, without its PSF."""
    priors: Mapping[str, nn.Module] = MappingProxyType({})
    """Fitted priors by name: `galgen.priors.base.LatentPrior` and alike."""

    image_channels = 1
    encoder_conditions = 0
    decoder_rows = 1
    decoder_conditions = 0
    decoded_channels = 1

    def __init__(
        self,
        image_size: int,
        name: str = "vae",
        latent_dim: int = 32,
        width: int = 64,
        norm: str = "batch",
        output: str = "sigmoid",
        code_channels: int = 1,
        code_kernel: int = 4,
        residual_blocks: int = 0,
        flux_scale: float | None = None,
        likelihood: nn.Module | None = None,
        beta_schedule: Callable[[int, int], float] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam,
        lr_schedule: Callable[[torch.optim.Optimizer], object] | None = None,
    ):
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}, it can be one of {', '.join(OUTPUTS)}")
        if latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim}, it must be positive")
        if residual_blocks < 0:
            raise ValueError(f"residual_blocks is {residual_blocks}, it must not be negative")
        if flux_scale is not None and not flux_scale > 0:
            raise ValueError(f"flux_scale is {flux_scale}, it must be positive")
        network = {
            "image_size": image_size,
            "width": width,
            "norm": norm,
            "code_channels": code_channels,
            "code_kernel": code_kernel,
            "residual_blocks": residual_blocks,
        }
        self.encoder = Encoder(
            latent_dim=latent_dim,
            image_channels=self.image_channels,
            conditions=self.encoder_conditions,
            **network,
        )
        self.decoder = Decoder(
            inputs=latent_dim + self.decoder_conditions,
            rows=self.decoder_rows,
            image_channels=self.decoded_channels,
            **network,
        )
        # A tenth faster on a CPU (experiments/throughput/cpu.csv), and what tensor cores ask for.
        self.encoder.to(memory_format=torch.channels_last)
        self.decoder.to(memory_format=torch.channels_last)
        self.name = name
        self.output = OUTPUTS[output]()
        self.flux_scale = flux_scale
        if flux_scale is not None:
            self.amplitude = nn.Linear(latent_dim, 1)
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.likelihood = likelihood or SquaredError()
        self.beta_schedule = beta_schedule or Constant(0.1)
        self.make_optimizer = optimizer
        self.make_lr_schedule = lr_schedule
        self.means = {"train": EpochMeans(), "val": EpochMeans()}

    def encode(self, image: ArrayLike, redshift: ArrayLike | None = None) -> Normal:
        """Return the posterior q(z | image), batch shape (N, latent_dim).

        Args:
            image: images (N, H, W), as the run's transform makes them.
            redshift: of conditional models: one number for all, or (N,).

        Raises:
            ValueError: if the images have another shape.
        """
        return posterior(*self.encoder(self.encoder_plane(image).unsqueeze(1)))

    def decode(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> Tensor:
        """Return the images (N, H, W) of latents, as `encode` takes them.

        Args:
            latent: (N, latent_dim).
            redshift: of conditional models: one number for all, or (N,).
        """
        latent = self.tensor(latent)
        return self.light(self.decoder(latent.unsqueeze(1))[:, 0], latent)

    @torch.no_grad()
    def reconstruct(self, image: ArrayLike, redshift: ArrayLike | None = None) -> Tensor:
        """Return the decoded posterior means of images, (N, H, W), without gradients.

        Args:
            image: images (N, H, W), as the run's transform makes them.
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        return self.decode(self.encode(image, redshift).mean, redshift)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        redshift: ArrayLike | None = None,
        prior: str | None = None,
        seed: int = 0,
        start: int = 0,
        conditions: Mapping[str, ArrayLike] = MappingProxyType({}),
    ) -> Tensor:
        """Generate galaxies; galaxy i depends on (seed, i) and its conditions alone.

        Args:
            n: number of galaxies.
            redshift: one number for all, or (n,); conditional models need it.
            prior: what the latents are drawn from: `normal`, or one of `priors`.
            seed: whole number from 0.
            start: number of the first galaxy.
            conditions: what else the prior may know, one number for all or (n,), NaN where
                unknown, by name: `magnitude`, `flux_radius`.

        Returns:
            Images (n, H, W), on the model's device, on the scale of the run's transform, which
            `galgen.runs.trained_run.TrainedRun.physical` undoes.

        Raises:
            ValueError: if the prior is unknown, a number out of range, a redshift negative or not
                finite, or missing for a conditional model.
        """
        redshift = self._wanted_redshift(redshift, n)
        latent = self.draw_latents(n, redshift, prior, seed, start, conditions)
        columns = (latent,) if redshift is None else (latent, redshift)
        return in_blocks(self.decode, self.decode_block, start, *columns)

    @property
    def decode_block(self) -> int:
        """Galaxies that are decoded in a block on this device."""
        return DECODE_BLOCK if self.device.type == "cpu" else DECODE_BLOCK_GPU

    @torch.no_grad()
    def draw_latents(
        self,
        n: int,
        redshift: Tensor | None = None,
        prior: str | None = None,
        seed: int = 0,
        start: int = 0,
        conditions: Mapping[str, ArrayLike] = MappingProxyType({}),
    ) -> Tensor:
        """Draw the latents that `sample` decodes, (n, latent_dim); arguments as there.

        Raises:
            ValueError: if the prior is unknown, a number out of range, or conditions are missing
                or of another number.
        """
        if prior in (None, NORMAL):
            for name in conditions:
                raise ValueError(f"{name}: the prior normal knows no such condition, it has none")
            return standard_normal(seed, n, self.latent_dim, start).to(self.device)
        try:
            fitted = self.priors[prior]
        except KeyError:
            known = ", ".join((NORMAL, *self.priors))
            raise ValueError(f"prior is {prior!r}, it can be {known}") from None
        if self.conditional:
            redshift = self.condition(redshift, n)
        unknown = set(conditions) - set(fitted.condition_names)
        if unknown:
            raise ValueError(
                f"{min(unknown)}: the prior {prior} knows no such condition, it has "
                f"{', '.join(fitted.condition_names) or 'none'}"
            )
        known = {**conditions, "redshift": redshift}
        columns = [self._column(name, known.get(name), n) for name in fitted.condition_names]
        noise = standard_normal(seed, n, fitted.noise_dim, start).to(self.device)
        rows = torch.stack(columns, dim=1).float() if columns else noise.new_empty(n, 0)
        return in_blocks(fitted, LATENT_BLOCK, start, noise, rows)

    def encoder_plane(self, image: ArrayLike) -> Tensor:
        """Return images (N, H, W) as the encoder sees them.

        Raises:
            ValueError: if they have another shape.
        """
        image = self.images(image)
        return image if self.flux_scale is None else torch.asinh(image / self.flux_scale)

    def light(self, plane: Tensor, latent: Tensor) -> Tensor:
        """Make images of the decoder's plane (N, H, W) and the latents (N, latent_dim), float32."""
        with torch.autocast(plane.device.type, enabled=False):
            image = self.output(plane.to(self.dtype))
            if self.flux_scale is None:
                return image
            return image * (self.flux_scale * self.amplitude(latent).exp())[:, :, None]

    def images(self, image: ArrayLike) -> Tensor:
        """Return images (N, H, W) as a tensor of the model's type, on its device.

        Raises:
            ValueError: if their shape is another.
        """
        image = self.tensor(image)
        side = self.image_size
        if image.ndim != 3 or image.shape[1:] != (side, side):
            raise ValueError(
                f"images are {tuple(image.shape)}, {self.name} takes (N, {side}, {side})"
            )
        return image

    def tensor(self, values: ArrayLike) -> Tensor:
        """Return numbers as a tensor of the model's type, on its device."""
        if not isinstance(values, Tensor):
            values = np.asarray(values, np.float32)  # FITS has another byte order
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def condition(self, redshift: ArrayLike | None, n: int) -> Tensor:
        """Return the redshifts of n galaxies as a tensor (n,) on the model's device.

        Raises:
            ValueError: if there is none, or their number is wrong.
        """
        if redshift is None:
            raise ValueError(f"{self.name} is conditional: give it a redshift")
        redshift = self.tensor(redshift)
        if redshift.shape not in ((), (1,), (n,)):
            raise ValueError(f"{n} galaxies need {n} redshifts, not {tuple(redshift.shape)}")
        return redshift.expand(n)

    def _column(self, name: str, values: ArrayLike | None, n: int) -> Tensor:
        """Return a condition of n galaxies as a tensor (n,), NaN where it is unknown."""
        column = self.tensor(math.nan if values is None else values)
        if column.shape not in ((), (1,), (n,)):
            raise ValueError(f"{n} galaxies need {n} of {name}, not {tuple(column.shape)}")
        if column.isinf().any():
            raise ValueError(f"{name} is infinite. Give a number, or NaN where it is unknown")
        return column.expand(n)

    def _wanted_redshift(self, redshift: ArrayLike | None, n: int) -> Tensor | None:
        """Check the redshifts that a user asks for."""
        if not self.conditional:
            if redshift is not None:
                warnings.warn(f"{self.name} knows no redshift: it is ignored", stacklevel=4)
            return None
        redshift = self.condition(redshift, n)
        if not (redshift.isfinite() & (redshift >= 0)).all():
            bad = redshift[~(redshift.isfinite() & (redshift >= 0))][0]
            raise ValueError(f"redshift is {bad:g}, it must be 0 or more")
        low, high = self.trained_redshifts
        if n and (redshift.min() < low or redshift.max() > high):
            warnings.warn(
                f"redshifts of {redshift.min():.3g} to {redshift.max():.3g} go beyond the "
                f"{low:.3g} to {high:.3g} that the model was trained on",
                stacklevel=4,
            )
        return redshift

    def loss(self, batch, beta: float) -> Loss:
        """Return the loss of a batch: reconstruction term + beta * KL.

        Args:
            batch: `galgen.data.batch.Batch`.
            beta: weight of the KL.
        """
        return self.loss_with(batch, beta, self.noise(batch))

    def noise(self, batch) -> Tensor:
        """Draw the standard normal numbers that a batch's latents are made of, (N, latent_dim).

        Several processes that divide a batch draw those of the whole.
        """
        rank, ranks, total = batch.share
        rows = max(total, rank + 1)
        return torch.randn(rows, self.latent_dim, device=batch.image.device)[rank::ranks]

    def loss_with(self, batch, beta: float | Tensor, noise: Tensor) -> Loss:
        """Return the loss of a batch, a function of the batch and its noise (N, latent_dim)."""
        q = self.encode(batch.image, batch.redshift)
        prediction = self.decode(q.mean + q.stddev * noise, batch.redshift)
        reconstruction = self.likelihood(prediction, batch).mean()
        kl = kl_to_standard_normal(q).mean()
        return Loss(reconstruction + beta * kl, reconstruction, kl)

    def on_train_start(self):
        """Remember the length of the training, which the beta schedule is a function of."""
        self.total_steps = int(self.trainer.estimated_stepping_batches)

    def training_step(self, batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch at the schedule's beta, as this process counts in it."""
        beta = self.beta_schedule(self.global_step, self.total_steps)
        loss = self.loss(batch, beta)
        share = batch.share
        self.means["train"].add(loss, beta, share.galaxies)
        return loss.total * share.weight

    def validation_step(self, batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch at the schedule's last beta."""
        beta = self.beta_schedule.beta
        loss = self.loss(batch, beta)
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
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def configure_optimizers(self):
        """Return the optimizer and, where there is one, its schedule, stepped each epoch."""
        optimizer = self.make_optimizer(self.parameters())
        if not self.make_lr_schedule:
            return optimizer
        schedule = {"scheduler": self.make_lr_schedule(optimizer), "monitor": MONITOR}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def posterior(mean: Tensor, log_variance: Tensor) -> Normal:
    """Make the posterior of a mean and a clamped log-variance, each (N, latent_dim), in float32."""
    std = (0.5 * log_variance.float().clamp(*LOG_VARIANCE)).exp()
    return Normal(mean.float(), std, validate_args=False)


def kl_to_standard_normal(q: Normal) -> Tensor:
    """Return KL(q || N(0, 1)) of each galaxy in nats, (N, latent_dim) to (N,).

    Source: Kingma & Welling 2014, appendix B.
    """
    variance = q.stddev.square()
    return 0.5 * (q.mean.square() + variance - variance.log() - 1).sum(dim=1)


def standard_normal(seed: int, n: int, latent_dim: int, start: int = 0) -> Tensor:
    """Draw latents (n, latent_dim) of galaxies from `start`, each by (seed, its number) alone."""
    return torch.from_numpy(ndtri(uniform(seed, LATENT, start, n, latent_dim)).astype(np.float32))


def in_blocks(make: Callable, together: int, start: int, *columns: Tensor) -> Tensor:
    """Make rows in blocks that are aligned to the galaxy number, and always full.

    Args:
        make: maps columns, (together, ...) each, to rows (together, ...).
        together: rows in a block.
        start: number of the first galaxy.
        *columns: (n, ...) each, on one device.

    Returns:
        Rows (n, ...).
    """
    n, before, made = len(columns[0]), start % together, []
    for first in range(-before, n, together):
        wanted = slice(max(first, 0), min(first + together, n))
        place = slice(wanted.start - first, wanted.stop - first)
        block = [column.new_zeros(together, *column.shape[1:]) for column in columns]
        for filled, column in zip(block, columns, strict=True):
            filled[place] = column[wanted]
        made.append(make(*block)[place])
    return torch.cat(made) if made else make(*(c.new_zeros(1, *c.shape[1:]) for c in columns))[:0]
