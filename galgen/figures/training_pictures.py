"""Pictures of a training: reconstructions and samples a few times, and its losses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Callback
from pytorch_lightning.utilities import rank_zero_only

from galgen.errors import GalgenError
from galgen.figures.display import Display
from galgen.figures.losses import draw_losses
from galgen.figures.reconstruction import draw_reconstruction
from galgen.figures.samples import draw_samples
from galgen.figures.saving import save
from galgen.models.telescope import on_survey_pixels
from galgen.priors.random_numbers import standard_normal
from galgen.runs.conditions import SURVEY, Condition
from galgen.runs.metrics import read_metrics
from galgen.runs.model_weights import decode

GALAXIES_IN_PICTURES = 8
REDSHIFTS_IN_PICTURES = 6
SAMPLES = "galaxies generated from N(0, 1)"
"""Caption."""


class Pictures(Callback):
    """Draw reconstructions and samples a few times a run, to disk and to the loggers.

    The losses are drawn once, when the training ends.

    Args:
        directory: the run directory; pictures go into its figures/ and samples/.
        times: how often in a run; the last time is after the last epoch.
        bands: those that are shown of galaxies, as `channels.choose_channels`.

    Raises:
        ValueError: if `times` is not positive.
    """

    def __init__(self, directory: str, times: int = 4, bands: str | Sequence[str] | None = None):
        if times < 1:
            raise ValueError(f"callbacks.pictures.times={times}: it must be positive.")
        self.directory, self.times, self.drawn = Path(directory), times, None
        self.bands = bands

    def check_survey(self, datamodule) -> None:
        """Check that the survey has the bands, before the run directory is touched.

        Raises:
            GalgenError: if it lacks one, or they are no names or stand twice.
        """
        try:
            display_of(datamodule, self.bands)
        except (GalgenError, ValueError) as error:
            raise GalgenError(f"callbacks.pictures.{error}") from error

    @rank_zero_only
    def on_validation_epoch_end(self, trainer, pl_module):
        """Draw, if this epoch is one of those (the module is in eval mode here)."""
        epochs = trainer.max_epochs
        due = {round(epochs * k / self.times) for k in range(1, self.times + 1)}
        if trainer.current_epoch + 1 in due:
            self._draw(trainer, pl_module, trainer.current_epoch + 1)

    @rank_zero_only
    def on_train_end(self, trainer, pl_module):
        """Draw after the last epoch, if early stopping made it one that was not due."""
        if self.drawn != trainer.current_epoch:
            pl_module.eval()
            self._draw(trainer, pl_module, trainer.current_epoch)

    @rank_zero_only
    def teardown(self, trainer, pl_module, stage: str):
        """Draw the losses of all epochs."""
        rows = read_metrics(self.directory)
        if rows:
            figure = draw_losses({self.directory.name: rows})
            save(figure, self.directory / "figures" / "losses.png")

    def _draw(self, trainer, pl_module, epoch: int) -> None:
        self.drawn = epoch
        datamodule = trainer.datamodule
        display = display_of(datamodule, self.bands)
        with torch.compiler.set_stance("force_eager"):  # a few images are not worth compiling for
            drawn = {
                "figures/reconstruction": reconstruct_galaxies(
                    pl_module.model, datamodule, display
                ),
                "samples/samples": generate_galaxies(pl_module.model, datamodule, display),
            }
        for name, (figure, caption) in drawn.items():
            path = self.directory / f"{name}_epoch{epoch:04d}.png"
            save(figure, path)
            label = f"epoch {epoch}: {caption}"
            for logger in trainer.loggers:  # the logger of metrics.csv takes no pictures
                if hasattr(logger, "log_picture"):
                    key = f"pictures/{Path(name).name}"
                    logger.log_picture(key, path, label, epoch, trainer.global_step)


def reconstruct_galaxies(model, datamodule, display: Display):
    """Draw validation galaxies over their reconstructions; return the figure and its caption."""
    batch = datamodule.first("val", GALAXIES_IN_PICTURES).to(model.device)
    with torch.no_grad():
        reconstruction = model.reconstruct(batch)
    known = None if batch.redshift is None else batch.redshift.cpu().numpy()
    figure = draw_reconstruction(
        physical(datamodule, batch.image),
        physical(datamodule, reconstruction),
        known,
        display=display,
    )
    caption = "validation galaxies, reconstructions, residuals"
    return figure, caption if known is None else f"{caption}; redshifts {listed(known)}"


def generate_galaxies(model, datamodule, display: Display):
    """Draw generated galaxies, of several redshifts where the model has any; with a caption."""
    peak = 1.0 if datamodule.value_range[1] == 1.0 else None
    if not model.conditional:
        n = GALAXIES_IN_PICTURES * REDSHIFTS_IN_PICTURES // 2
        latent = torch.from_numpy(standard_normal(0, n, model.latent_dim)).to(model.device)
        images = generated(datamodule, model, latent, None)
        grid = images.reshape(-1, GALAXIES_IN_PICTURES, *images.shape[1:])
        return draw_samples(grid, peak=peak, display=display), SAMPLES
    redshifts = Condition("redshift", SURVEY).steps(
        REDSHIFTS_IN_PICTURES, datamodule.training_redshifts()
    )
    rows = standard_normal(0, GALAXIES_IN_PICTURES // 2, model.latent_dim)
    latent = torch.from_numpy(rows).to(model.device)
    columns = [
        generated(datamodule, model, latent, latent.new_full((len(latent),), z)) for z in redshifts
    ]
    grid = np.stack(columns, axis=1)
    figure = draw_samples(grid, redshifts, peak, display)
    return figure, f"{SAMPLES}; columns at redshift {listed(redshifts)}"


def generated(datamodule, model, latent: torch.Tensor, redshift) -> np.ndarray:
    """Return the galaxies of latents on the survey's pixels, (N, B, H, W)."""
    light = physical(datamodule, decode(model, latent, redshift))
    return on_survey_pixels(light, model.oversampling)


def listed(redshifts: np.ndarray) -> str:
    """Write redshifts in a row; those that are not known as a question mark."""
    return ", ".join(f"{z:.2f}" if np.isfinite(z) else "?" for z in redshifts)


def physical(datamodule, images: torch.Tensor) -> np.ndarray:
    """Bring images (N, B, H, W) from the model's scale to the survey's unit, or to the peak."""
    return datamodule.transform.inverse(images.float()).cpu().numpy()


def display_of(datamodule, bands: str | Sequence[str] | None = None) -> Display:
    """Return how the galaxies of a survey are shown.

    Raises:
        GalgenError: if it lacks one of the bands.
    """
    stamps = datamodule.stamps
    own_peaks = getattr(datamodule.transform, "per_band", False)
    return Display(
        bands=bands,
        names=stamps.bands,
        zero_points=None if own_peaks else stamps.zero_points,
        reference=stamps.reference,
        pixel_scale=stamps.attrs.get("pixel_scale", datamodule.pixel_scale),
    )
