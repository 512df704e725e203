"""CVAE: redshift as a second plane of the image and a second row of the latent."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Normal

from galgen.models.vae import VAE, posterior


class CVAE(VAE):
    """Redshift-conditional VAE; arguments as `VAE`.

    Source: Sohn, Lee & Yan 2015.
    """

    conditional = True
    image_channels = 2
    decoder_rows = 2

    def encode(self, image: ArrayLike, redshift: ArrayLike | None = None) -> Normal:
        """Return the posterior q(z | image, redshift), batch shape (N, latent_dim).

        Args:
            image: images (N, H, W), as the run's transform makes them.
            redshift: one number for all, or (N,).

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        image = self.encoder_plane(image)
        plane = self.condition(redshift, len(image))[:, None, None].expand_as(image)
        return posterior(*self.encoder(torch.stack([image, plane], dim=1)))

    def decode(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> Tensor:
        """Return the images (N, H, W) of latents.

        Args:
            latent: (N, latent_dim).
            redshift: one number for all, or (N,).

        Raises:
            ValueError: if redshifts are missing or their number is wrong.
        """
        latent = self.tensor(latent)
        return self.light(self.decode_planes(latent, redshift)[:, 0], latent)

    def decode_planes(self, latent: Tensor, redshift: ArrayLike | None) -> Tensor:
        """Return the decoder's planes (N, planes, H, W) of latents and redshifts, unactivated."""
        row = self.condition(redshift, len(latent))[:, None].expand_as(latent)
        return self.decoder(torch.stack([latent, row], dim=1))
