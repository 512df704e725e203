"""Blocks of galaxies: full, aligned to the galaxy number, each row once."""

import pytest
import torch

from galgen.models.blocks import in_blocks


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 40])
@pytest.mark.parametrize("start", [0, 1, 15, 16, 33])
def test_blocks_are_full_aligned_and_give_every_row_once(start, n):
    seen = []

    def double(number, plane):
        seen.append(len(number))
        assert plane.shape == (len(number), 2)
        return 2 * number + plane[:, :1]

    numbers = torch.arange(start, start + n, dtype=torch.float)[:, None]
    made = in_blocks(double, 16, start, numbers, torch.ones(n, 2))
    assert torch.equal(made, 2 * numbers + 1)
    blocks = len({number // 16 for number in range(start, start + n)})
    assert n == 0 or seen == [16] * blocks
