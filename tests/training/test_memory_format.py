"""Networks lie in memory as their training computes fastest, and make the same galaxies."""

import pytest
import torch

from galgen.models.vae import VAE
from galgen.training.memory_format import choose_memory_format


@pytest.mark.parametrize(
    ("norm", "device", "precision", "last"),
    [
        ("group", "cpu", "bf16-mixed", False),
        ("group", "cpu", "32-true", True),
        ("group", "cuda", "bf16-mixed", True),
        ("batch", "cpu", "bf16-mixed", True),
    ],
)
def test_group_norms_in_bfloat16_on_a_processor_alone_are_contiguous(norm, device, precision, last):
    torch.manual_seed(0)
    model = VAE(image_size=32, width=8, latent_dim=4, norm=norm).eval()
    latent = torch.randn(3, 4)
    before = model.decode(latent)
    choose_memory_format(model, torch.device(device), precision)
    weights = [w for w in model.parameters() if w.ndim == 4 and min(w.shape) > 1]
    assert {w.is_contiguous(memory_format=torch.channels_last) for w in weights} == {last}
    torch.testing.assert_close(model.decode(latent), before, rtol=1e-4, atol=1e-5)
