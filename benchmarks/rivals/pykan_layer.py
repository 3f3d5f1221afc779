"""Times pykan in its speed mode; run by benchmarks/kernels.py with an environment of its own. Prints JSON."""

import json
import statistics
import sys
import tempfile
import time

import torch
from kan import KAN


def median_seconds(function, rounds):
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main(width, batch, grid, dtype, rounds, threads):
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        model = KAN(width=list(width), grid=grid, k=3, auto_save=False, seed=0, ckpt_path=folder).speed()
        model = model.to(getattr(torch, dtype))
        x = (torch.rand(batch, width[0], dtype=getattr(torch, dtype)) * 2 - 1).requires_grad_()

        def forward():
            with torch.no_grad():
                model(x)

        def both():
            model.zero_grad()
            model(x).sum().backward()

        print(json.dumps({"forward": median_seconds(forward, rounds), "both": median_seconds(both, rounds)}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
