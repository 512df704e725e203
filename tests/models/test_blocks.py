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


def test_a_block_is_the_same_at_any_number_of_threads():
    layer = torch.nn.Conv2d(3, 32, 3, padding=1)
    planes, threads = torch.randn(40, 3, 16, 16), torch.get_num_threads()
    made = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            with torch.no_grad():
                made.append(in_blocks(layer, 16, 5, planes))
            assert torch.get_num_threads() == number
            assert not made[-1].requires_grad
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_what_a_block_raises_reaches_the_caller():
    def broken(numbers):
        raise ValueError("of a block")

    with pytest.raises(ValueError, match="of a block"):
        in_blocks(broken, 4, 0, torch.ones(9))
