"""What each of several processes has of a batch."""

from typing import NamedTuple


class Share(NamedTuple):
    """What a process has of a batch that several divide: every ranks-th galaxy, from its rank."""

    rank: int
    ranks: int
    total: int
    """Galaxies of the whole batch."""

    @property
    def galaxies(self) -> int:
        """Number of galaxies in the share; 0 where the process got one only to take part."""
        return len(range(self.rank, self.total, self.ranks))

    @property
    def weight(self) -> float:
        """What the share's mean counts in a plain average over the processes."""
        return self.galaxies * self.ranks / self.total
