"""CVAE2: redshift appended to the encoder's code and to the latent."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Normal

from galgen.models.vae import VAE, posterior


class CVAE2(VAE):
    """Redshift-conditional VAE whose convolutions see the image alone; arguments as `VAE`."""

    conditional = True
    encoder_conditions = 1
    decoder_conditions = 1

    def encode(self, image: ArrayLike, redshift: ArrayLike | None = None) -> Normal:
        """Return the posterior q(z | image, redshift), batch shape (N, latent_dim).

        Args:
            image: images (N, H, W), as the run's transform makes them.
            redshift: one number for all, or (N,).

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        plane = self.encoder_plane(image)
        redshift = self.condition(redshift, len(plane))
        return posterior(*self.encoder(plane.unsqueeze(1), redshift[:, None]))

    def decode(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> Tensor:
        """Return the images (N, H, W) of latents.

        Args:
            latent: (N, latent_dim).
            redshift: one number for all, or (N,).

        Raises:
            ValueError: if redshifts are missing or their number is wrong.
        """
        latent = self.tensor(latent)
        redshift = self.condition(redshift, len(latent))
        row = torch.cat([latent, redshift[:, None]], dim=1)
        return self.light(self.decoder(row.unsqueeze(1))[:, 0], latent)
