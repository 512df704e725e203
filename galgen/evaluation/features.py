"""Features of images by an encoder that learns from the survey itself, with nothing downloaded."""

import numpy as np
import torch
from torch import nn

from galgen.models.networks import Encoder

FEATURES = 32
WIDTH = 8
EPOCHS = 4
BATCH = 128
RATE = 2e-3


class FeatureEncoder:
    """A small network that learns to predict measured statistics of galaxies from their images.

    Its features are the activations before the last linear layer.

    Args:
        images: of the training part, (N, B, H, W), as they are measured.
        targets: the quantities to predict, (N, K), NaN where unknown.
        seed: of its weights and the order of the galaxies.
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, seed: int = 0):
        scatter = np.median(np.abs(images[:1000]).max(axis=(1, 2, 3)))
        self.scale = float(0.03 * scatter) or 1.0  # faint parts of a typical galaxy
        centre, spread = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
        targets = torch.from_numpy((targets - centre) / np.where(spread > 0, spread, 1)).float()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _, bands, size, _ = images.shape
            self.encoder = Encoder(size, FEATURES, WIDTH, "group", bands, code_channels=8)
            head = nn.Linear(FEATURES, targets.shape[1])
            self._train(torch.from_numpy(images), targets, head)
        self.encoder.eval()

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features (N, FEATURES) of images (N, B, H, W); NaN where not finite."""
        blocks = torch.from_numpy(images).split(BATCH)
        return torch.cat([self._features(block) for block in blocks]).numpy()

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.encoder(torch.asinh(images / self.scale))[0])

    def _train(self, images: torch.Tensor, targets: torch.Tensor, head: nn.Module) -> None:
        parameters = [*self.encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=RATE)
        known = ~targets.isnan()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(images)).split(BATCH):
                error = head(self._features(images[rows])) - targets[rows].nan_to_num()
                loss = (error.square() * known[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
