"""The beta-VAE, and what its conditional relatives share."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from galgen.models.beta_schedules import Constant
from galgen.models.likelihoods import KnownNoise, SquaredError
from galgen.models.losses import Loss
from galgen.models.networks import Original, Sinh
from galgen.models.posterior import kl_to_standard_normal, posterior
from galgen.models.telescope import TelescopePlanes, convolve

OUTPUTS = {"sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "sinh": Sinh, "none": nn.Identity}
"""Activations that turn the decoder's last layer into an image."""


class VAE(nn.Module):
    """Beta-VAE of galaxy images (Kingma & Welling 2014; Higgins et al. 2017).

    Its methods take and return tensors on its device, on the scale of the run's transform, and
    check nothing: `galgen.load` returns what users call. `galgen.training.model_training` takes the
    steps of its training.

    Args:
        image_size: side of the stamps, px, 32 to 256.
        bands: names of the bands, B of them; the images have one where None.
        name: the architecture's, as in run names.
        latent_dim: numbers in a latent, a vector or a map.
        width: channels after the first convolution.
        norm: `batch` (the original's) or `group`.
        network: makes encoder and decoder; `galgen.models.networks.Original` where None.
        output: activation of the image: `sigmoid`, `softplus`, `sinh` (of softplus) or `none`.
        flux_scale: faintest light of interest, on the model's scale, where images are linear in
            flux: the encoder sees asinh(image / flux_scale), and the decoder's output is scaled by
            flux_scale, and but for `sinh` by the exponential of a linear function of the latent.
        psf_free: whether the decoder makes light in front of the telescope, which the loss
            convolves with the PSF of each stamp.
        oversampling: pixels of the light along the side of a survey pixel, for a PSF-free model.
        telescope_planes: whether the encoder sees the noise level of each band as a plane beside
            the images, and the width of its PSF where the model is PSF-free.
        misfit_scale: nats of misfit with which a galaxy counts half in training, where the
            likelihood knows the noise; all count alike where None, and a few bright ones are most
            of the gradient. A galaxy's KL is weighted alike, so its own optimum stays.
        likelihood: module that maps (prediction, batch) to a cost for each galaxy.
        beta_schedule: callable that maps (step, total steps) to beta.
        optimizer: callable that makes the optimizer of the parameters.
        lr_schedule: callable that makes the learning-rate schedule of the optimizer.
        seed: of the noise of the steps.

    Raises:
        ValueError: if an argument is out of range.
    """

    conditional = False
    """Whether the model needs a redshift with every image and latent."""

    def __init__(
        self,
        image_size: int,
        bands: Sequence[str] | None = None,
        name: str = "vae",
        latent_dim: int = 32,
        width: int = 64,
        norm: str = "batch",
        network: Original | None = None,
        output: str = "sigmoid",
        flux_scale: float | None = None,
        psf_free: bool = False,
        oversampling: int = 1,
        telescope_planes: bool = False,
        misfit_scale: float | None = None,
        likelihood: nn.Module | None = None,
        beta_schedule: Callable[[int, int], float] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam,
        lr_schedule: Callable[[torch.optim.Optimizer], object] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f"output={output}: it can be one of {', '.join(OUTPUTS)}.")
        if latent_dim < 1:
            raise ValueError(f"latent_dim={latent_dim}: it must be positive.")
        network = network or Original()
        self.latent_dim, self.latent_shape = latent_dim, None
        if hasattr(network, "latent_shape"):  # of a map: channels, height, width
            self.latent_shape = network.latent_shape(latent_dim)
        if flux_scale is not None and not flux_scale > 0:
            raise ValueError(f"flux_scale={flux_scale}: it must be positive.")
        if oversampling < 1 or (oversampling > 1 and not psf_free):
            raise ValueError(f"oversampling={oversampling}: give 1, or more with psf_free=true.")
        self.oversampling = oversampling
        if misfit_scale is not None and not misfit_scale > 0:
            raise ValueError(f"misfit_scale={misfit_scale}: it must be positive.")
        self.misfit_scale = misfit_scale
        self.bands = 1 if bands is None else len(bands)
        self.telescope = TelescopePlanes(self.bands) if telescope_planes else None
        sizes = {"image_size": image_size, "width": width, "norm": norm}
        self.encoder, self.decoder = self.make_networks(network, sizes)
        # A tenth faster on a CPU (experiments/throughput/cpu.csv), and what tensor cores ask for.
        self.encoder.to(memory_format=torch.channels_last)
        self.decoder.to(memory_format=torch.channels_last)
        self.name = name
        self.output = OUTPUTS[output]()
        self.flux_scale, self.psf_free = flux_scale, psf_free
        self.amplitude = None
        if flux_scale is not None and output != "sinh":
            self.amplitude = nn.Linear(self.latent_dim, self.bands)
        self.image_size = image_size
        self.likelihood = likelihood or SquaredError()
        self.beta_schedule = beta_schedule or Constant(0.1)
        self.make_optimizer = optimizer
        self.make_lr_schedule = lr_schedule
        self.seed = seed

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def make_networks(self, network: Original, sizes: dict) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder.

        Args:
            network: makes them.
            sizes: `image_size`, `width` and `norm`.
        """
        inputs = {"latent_dim": self.latent_dim, "image_channels": self.encoder_channels}
        encoder = network.encoder(**inputs, **sizes)
        planes = {"image_channels": self.bands, **self.light_sizes(sizes)}
        return encoder, network.decoder(inputs=self.latent_dim, **planes)

    def light_sizes(self, sizes: dict) -> dict:
        """Return the sizes of the decoder for those of the encoder."""
        return {**sizes, "image_size": self.oversampling * sizes["image_size"]}

    @property
    def encoder_channels(self) -> int:
        """Planes that `encoder_planes` makes."""
        return self.bands if self.telescope is None else 3 * self.bands

    def encode(
        self, image: Tensor, redshift: Tensor | None = None, telescope: Tensor | None = None
    ) -> Normal:
        """Return the posterior q(z | image), batch shape (N, latent_dim).

        Args:
            image: images (N, B, H, W).
            redshift: (N,), of conditional models.
            telescope: of `TelescopePlanes.numbers`, (N, 2 B); the usual noise and PSF where None.
        """
        return posterior(*self.encoder(self.encoder_planes(image, telescope)))

    def encode_batch(self, batch) -> Normal:
        """Return the posteriors of the galaxies of a batch, batch shape (N, latent_dim)."""
        redshift = batch.redshift if self.conditional else None
        telescope = None if self.telescope is None else self.telescope.numbers(batch)
        return self.encode(batch.image, redshift, telescope)

    def decode(self, latent: Tensor, redshift: Tensor | None = None) -> Tensor:
        """Return the images of latents, (N, B, s H, s W) where s is the oversampling.

        Args:
            latent: (N, latent_dim).
            redshift: (N,), of conditional models.
        """
        return self.light(self.decoder(latent.unsqueeze(1)), latent)

    def encoder_planes(self, image: Tensor, telescope: Tensor | None) -> Tensor:
        """Return images (N, B, H, W) and numbers (N, 2 B) as the encoder sees them."""
        planes = image if self.flux_scale is None else torch.asinh(image / self.flux_scale)
        return planes if self.telescope is None else self.telescope(planes, telescope)

    def light(self, planes: Tensor, latent: Tensor) -> Tensor:
        """Make images of the decoder's planes (N, B, H, W) and latents (N, latent_dim), float32."""
        with torch.autocast(planes.device.type, enabled=False):
            image = self.output(planes.to(self.dtype))
            if self.flux_scale is None:
                return image
            scale = self.flux_scale / self.oversampling**2
            if self.amplitude is None:
                return image * scale
            return image * (scale * self.amplitude(latent).exp())[:, :, None, None]

    def observe(self, light: Tensor, batch) -> Tensor:
        """Return the images (N, B, H, W) that the telescope takes of decoded light, without noise.

        Args:
            light: (N, B, s H, s W), of the galaxies of a batch.
            batch: `galgen.data.batch.Batch`, with PSFs where the model is PSF-free.
        """
        return convolve(light, batch.psf, self.oversampling) if self.psf_free else light

    def reconstruct(self, batch) -> Tensor:
        """Return a batch's images of the posterior means as the telescope sees them, (N, B, H, W).

        Args:
            batch: `galgen.data.batch.Batch`, on the model's device.
        """
        redshift = batch.redshift if self.conditional else None
        return self.observe(self.decode(self.encode_batch(batch).mean, redshift), batch)

    def loss(self, batch, beta: float | Tensor, noise: Tensor) -> Loss:
        """Return the loss of a batch: reconstruction term + beta * KL.

        Args:
            batch: `galgen.data.batch.Batch`.
            beta: weight of the KL.
            noise: standard normal numbers that the latents are made of, (N, latent_dim).
        """
        q = self.encode_batch(batch)
        prediction = self.decode(q.mean + q.stddev * noise, batch.redshift)
        return self.loss_of(q, prediction, batch, beta)

    def loss_of(
        self,
        q: Normal,
        prediction: Tensor,
        batch,
        beta: float | Tensor,
        further: Tensor | float = 0.0,
    ) -> Loss:
        """Return the loss of a batch whose latents are decoded.

        Args:
            q: its posteriors, batch shape (N, latent_dim).
            prediction: its decoded light, (N, B, H, W).
            batch: `galgen.data.batch.Batch`.
            beta: weight of the KL.
            further: costs beside the reconstruction term and the KL, (N,).
        """
        seen, weight = self.observe(prediction, batch), None
        if self.misfit_scale is None or not isinstance(self.likelihood, KnownNoise):
            reconstruction = self.likelihood(seen, batch)
        else:
            misfit, entropy = self.likelihood.split(seen, batch)
            reconstruction = misfit + entropy
            weight = 1 / (1 + misfit.detach().clamp_min(0) / self.misfit_scale)
        kl = kl_to_standard_normal(q)
        cost = reconstruction + beta * kl + further
        tempered = None if weight is None else (weight * cost).mean()
        return Loss(cost.mean(), reconstruction.mean(), kl.mean(), tempered=tempered)
