"""CVAE2: redshift appended to the encoder's code and to the latent."""

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from galgen.models.networks import Original
from galgen.models.posterior import posterior
from galgen.models.vae import VAE


class CVAE2(VAE):
    """Redshift-conditional VAE whose convolutions see the image alone; arguments as `VAE`."""

    conditional = True

    def make_networks(self, network: Original, sizes: dict) -> tuple[nn.Module, nn.Module]:
        """Return networks that take a number beside code and latent; arguments as `VAE`."""
        inputs = {"latent_dim": self.latent_dim, "image_channels": self.encoder_channels}
        encoder = network.encoder(conditions=1, **inputs, **sizes)
        planes = {"image_channels": self.bands, **self.light_sizes(sizes)}
        return encoder, network.decoder(inputs=self.latent_dim + 1, **planes)

    def encode(self, image: Tensor, redshift: Tensor, telescope: Tensor | None = None) -> Normal:
        """Return the posterior q(z | image, redshift), batch shape (N, latent_dim).

        Args:
            image: images (N, B, H, W).
            redshift: (N,).
            telescope: as in `VAE.encode`.
        """
        planes = self.encoder_planes(image, telescope)
        return posterior(*self.encoder(planes, redshift[:, None]))

    def decode(self, latent: Tensor, redshift: Tensor) -> Tensor:
        """Return the images of latents, (N, B, s H, s W).

        Args:
            latent: (N, latent_dim).
            redshift: (N,).
        """
        row = torch.cat([latent, redshift[:, None]], dim=1)
        return self.light(self.decoder(row.unsqueeze(1)), latent)
