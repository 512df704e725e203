"""Time of one training step of eight models of the demo, by how many are computed at once."""

import time

import torch
from galgen.models.stack import Step, compute

from experiments.throughput.measure import GPU, MODELS, random_batch

MEMBERS, BATCH, STEPS = 8, 64, 5
DEVICE = "cuda" if GPU else "cpu"


def main() -> None:
    """Measure and print."""
    architecture, arguments = MODELS["demo"]
    models = [architecture(**arguments, norm="group").to(DEVICE) for _ in range(MEMBERS)]
    batch = random_batch(models[0], BATCH)
    noise = torch.randn(BATCH, arguments["latent_dim"], device=DEVICE)
    steps = [Step(model, batch, 0.1, noise) for model in models]
    for together in (1, 2, 4, MEMBERS):
        times = []
        for _ in range(STEPS + 2):
            started = time.perf_counter()
            answers = compute(steps, together)
            sum(answer.loss.total for answer in answers).item()
            times.append(time.perf_counter() - started)
        print(f"{together} of {MEMBERS} at once: {sorted(times[2:])[STEPS // 2]:.3f} s")


if __name__ == "__main__":
    main()
