"""How much better does a training with the noise's correlation explain the survey?

`python -m experiments.recommended.evidence runs/<with> runs/<white>` prints the bound on the
log-evidence of test galaxies under the noise as it is, for a run that was trained with
`likelihood=correlated_noise` and one that was trained with `likelihood=noise_aware`.
"""

import sys

import numpy as np
import torch

import galgen
from galgen.models.posterior import kl_to_standard_normal

N, BLOCK = 2000, 50


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m experiments.recommended.evidence runs/<with> runs/<white>")
    runs = [galgen.load(directory) for directory in sys.argv[1:]]
    likelihood = runs[0].model.likelihood
    with_it, white = (bounds(run, likelihood) for run in runs)
    gain = with_it - white
    for name, values in (("with", with_it), ("white", white), ("gain", gain)):
        error = values.std() / np.sqrt(len(values))
        print(f"{name}: {values.mean():.1f} +- {error:.1f}, median {np.median(values):.1f} nats")


@torch.no_grad()
def bounds(run, likelihood) -> np.ndarray:
    """Bound the log-evidence of N test galaxies under a likelihood, nats, (N,)."""
    run.model.likelihood = likelihood
    generator, found = torch.Generator().manual_seed(0), []
    for start in range(0, N, BLOCK):
        batch = run.survey.batch("test", np.arange(start, start + BLOCK))
        q = run.model.encode_batch(batch)
        noise = torch.randn(q.mean.shape, generator=generator)
        seen = run.model.observe(run.model.decode(q.mean + q.stddev * noise), batch)
        found.append(-likelihood(seen, batch) - kl_to_standard_normal(q))
    return torch.cat(found).numpy()


if __name__ == "__main__":
    main()
