"""FancyCVAE: a CVAE that predicts the redshift along with the image."""

from dataclasses import replace

from torch import Tensor

from galgen.models.cvae import CVAE
from galgen.models.losses import Loss


class FancyCVAE(CVAE):
    """CVAE with a further output plane, whose first pixel is the predicted redshift.

    Args:
        redshift_weight: weight of the squared redshift error in the loss.
        **arguments: as `VAE`.

    Raises:
        ValueError: if an argument is out of range.
    """

    further_planes = 1

    def __init__(self, redshift_weight: float = 1000.0, **arguments):
        super().__init__(**arguments)
        if not redshift_weight >= 0:
            raise ValueError(f"redshift_weight={redshift_weight}: it must not be negative.")
        self.redshift_weight = redshift_weight

    def predict(self, latent: Tensor, redshift: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (N, B, H, W) and predicted redshifts (N,) of latents.

        Args:
            latent: (N, latent_dim).
            redshift: (N,).
        """
        planes = self.decode_planes(latent, redshift)
        return self.light(planes[:, : self.bands], latent), planes[:, self.bands, 0, 0]

    def loss(self, batch, beta: float | Tensor, noise: Tensor) -> Loss:
        """Return the loss of a batch: reconstruction term + weighted redshift error + beta * KL.

        Args:
            batch: `galgen.data.batch.Batch`, with redshifts.
            beta: weight of the KL.
            noise: standard normal, (N, latent_dim).
        """
        q = self.encode_batch(batch)
        prediction, redshift = self.predict(q.mean + q.stddev * noise, batch.redshift)
        error = (redshift - batch.redshift).square()
        loss = self.loss_of(q, prediction, batch, beta, self.redshift_weight * error)
        return replace(loss, redshift=error.mean())
