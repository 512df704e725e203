"""The layout of the networks at every image size."""

import pytest
import torch

from galgen.models.networks import LARGEST, SMALLEST, Decoder, Encoder, ResidualBlock, plan


@pytest.mark.parametrize("size", range(SMALLEST, LARGEST + 1))
def test_convolutions_shrink_to_the_code_and_grow_back(size):
    steps, code = plan(size, width=2, code_channels=1, code_kernel=4)
    side, sides = size, []
    for step in steps:
        sides.append(side)
        side = (side + 2 * step.padding - step.kernel) // step.stride + 1
    assert side == code
    assert 4 <= code <= 7
    for step, before in zip(reversed(steps), reversed(sides), strict=True):
        side = (side - 1) * step.stride - 2 * step.padding + step.kernel
        assert side == before


def test_the_original_layouts():
    steps, code = plan(158, 64, 1, 4)
    assert [step.kernel for step in steps] == [4, 3, 4, 4, 4]
    assert [step.narrow for step in steps] == [64, 128, 256, 512, 1]
    assert code == 5
    steps, code = plan(128, 64, 1, 5)
    assert [(s.kernel, s.stride, s.padding) for s in steps] == [(4, 2, 1)] * 4 + [(5, 1, 0)]
    assert code == 4


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [32, 45, 64, 101, 256])
def test_shapes(size, norm):
    encoder = Encoder(size, 5, 4, norm, image_channels=2, conditions=1, code_channels=3)
    mean, log_variance = encoder(torch.rand(2, 2, size, size), torch.rand(2, 1))
    assert mean.shape == log_variance.shape == (2, 5)
    decoder = Decoder(size, 6, 4, norm, rows=2, image_channels=2, code_channels=3)
    assert decoder(torch.rand(2, 2, 6)).shape == (2, 2, size, size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((31, 4, 1, 4), "32 to 256"),
        ((257, 4, 1, 4), "32 to 256"),
        ((64, 0, 1, 4), "positive"),
        ((64, 4, 1, 3), "code_kernel"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(*arguments)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'batch' or 'group'"):
        Encoder(64, 4, 4, "layer")


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_residual_block_adds_to_its_input(norm):
    torch.manual_seed(0)
    block, planes = ResidualBlock(6, norm), torch.randn(2, 6, 5, 7)
    kept = planes.clone()
    assert block(planes).shape == planes.shape
    assert not torch.allclose(block(planes), planes)
    assert torch.equal(planes, kept)
    torch.nn.init.zeros_(block.layers[-1].weight)
    assert torch.equal(block(planes), planes)
