"""Times jaxKAN, compiled; run by benchmarks/kernels.py with an environment of its own. Prints JSON."""

import json
import statistics
import sys
import time

import jax
from flax import nnx
from jax import numpy as jnp
from jaxkan.models.KAN import KAN


def median_seconds(function, rounds):
    times = []
    for _ in range(rounds + 1):  # the first compiles
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main(width, batch, grid, dtype, rounds, threads):
    del threads  # XLA takes all cores
    jax.config.update("jax_enable_x64", dtype == "float64")
    model = KAN(layer_dims=width, layer_type="spline", required_parameters={"k": 3, "G": grid}, seed=0)
    x = jax.random.uniform(jax.random.PRNGKey(0), (batch, width[0]), dtype=getattr(jnp, dtype), minval=-1, maxval=1)
    graph, parameters, others = nnx.split(model, nnx.Param, ...)
    forward = jax.jit(lambda parameters, x: nnx.merge(graph, parameters, others)(x))
    both = jax.jit(jax.grad(lambda parameters, x: forward(parameters, x).sum(), argnums=(0, 1)))
    figures = {"forward": lambda: forward(parameters, x), "both": lambda: both(parameters, x)}
    print(json.dumps({name: median_seconds(function, rounds) for name, function in figures.items()}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
