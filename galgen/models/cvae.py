"""CVAE: redshift as a second plane of the image and a second row of the latent."""

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from galgen.models.networks import Original
from galgen.models.vae import VAE, posterior


class CVAE(VAE):
    """Redshift-conditional VAE; arguments as `VAE`.

    Source: Sohn, Lee & Yan 2015.
    """

    conditional = True
    decoded_planes = 1
    """Planes that the decoder makes, the image first."""

    def make_networks(self, network: Original, sizes: dict) -> tuple[nn.Module, nn.Module]:
        """Return an encoder of two planes and a decoder of two rows; arguments as `VAE`."""
        planes = {"rows": 2, "image_channels": self.decoded_planes}
        encoder = network.encoder(latent_dim=self.latent_dim, image_channels=2, **sizes)
        return encoder, network.decoder(inputs=self.latent_dim, **sizes, **planes)

    def encode(self, image: Tensor, redshift: Tensor) -> Normal:
        """Return the posterior q(z | image, redshift), batch shape (N, latent_dim).

        Args:
            image: images (N, H, W).
            redshift: (N,).
        """
        image = self.encoder_plane(image)
        plane = redshift[:, None, None].expand_as(image)
        return posterior(*self.encoder(torch.stack([image, plane], dim=1)))

    def decode(self, latent: Tensor, redshift: Tensor) -> Tensor:
        """Return the images (N, H, W) of latents.

        Args:
            latent: (N, latent_dim).
            redshift: (N,).
        """
        return self.light(self.decode_planes(latent, redshift)[:, 0], latent)

    def decode_planes(self, latent: Tensor, redshift: Tensor) -> Tensor:
        """Return the decoder's planes (N, planes, H, W) of latents and redshifts, unactivated."""
        row = redshift[:, None].expand_as(latent)
        return self.decoder(torch.stack([latent, row], dim=1))
