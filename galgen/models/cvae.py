"""CVAE: redshift as another plane of the image and a second row of the latent."""

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from galgen.models.networks import Original
from galgen.models.posterior import posterior
from galgen.models.vae import VAE


class CVAE(VAE):
    """Redshift-conditional VAE; arguments as `VAE`.

    Source: Sohn, Lee & Yan 2015.
    """

    conditional = True
    further_planes = 0
    """Planes that the decoder makes after those of the bands."""

    def make_networks(self, network: Original, sizes: dict) -> tuple[nn.Module, nn.Module]:
        """Return an encoder of a further plane and a decoder of two rows; arguments as `VAE`."""
        planes = {"rows": 2, "image_channels": self.bands + self.further_planes}
        planes |= self.light_sizes(sizes)
        inputs = {"latent_dim": self.latent_dim, "image_channels": self.encoder_channels + 1}
        encoder = network.encoder(**inputs, **sizes)
        return encoder, network.decoder(inputs=self.latent_dim, **planes)

    def encode(self, image: Tensor, redshift: Tensor, telescope: Tensor | None = None) -> Normal:
        """Return the posterior q(z | image, redshift), batch shape (N, latent_dim).

        Args:
            image: images (N, B, H, W).
            redshift: (N,).
            telescope: as in `VAE.encode`.
        """
        planes = self.encoder_planes(image, telescope)
        redshifts = redshift[:, None, None, None].expand_as(planes[:, :1])
        return posterior(*self.encoder(torch.cat([planes, redshifts], dim=1)))

    def decode(self, latent: Tensor, redshift: Tensor) -> Tensor:
        """Return the images of latents, (N, B, s H, s W).

        Args:
            latent: (N, latent_dim).
            redshift: (N,).
        """
        return self.light(self.decode_planes(latent, redshift)[:, : self.bands], latent)

    def decode_planes(self, latent: Tensor, redshift: Tensor) -> Tensor:
        """Return the decoder's planes (N, planes, H, W) of latents and redshifts, unactivated."""
        row = redshift[:, None].expand_as(latent)
        return self.decoder(torch.stack([latent, row], dim=1))
