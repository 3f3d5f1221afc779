"""Inside a deep network: KAN layers as the feed-forward part of a transformer that reads digits.

`KANLayer` stands where `nn.Linear` stands. Here it stands in the feed-forward part of a small vision transformer, in
place of the usual Linear, GELU, Linear: after the layer norm, whose values lie within a few units of zero, one layer of
learnable curves maps the 32 features of a token to 32 others. The data are the 1797 handwritten digits of 8 × 8 pixels
that come with scikit-learn; a quarter of them is held out.

What is shown besides the accuracy is that the layer does whatever else a module has to do:

- `torch.compile`: the compiled network gives the same values and gradients, in one graph;
- `torch.autocast`: trained with bfloat16 in all other layers it is as accurate. The KAN layers themselves compute in
  float32, as PyTorch's norms do: the place of a number within a grid does not fit into eight bits;
- `DistributedDataParallel`: two processes with half of a batch each find the gradients of one process with all of it.

A transformer with the usual feed-forward part of as many parameters is trained beside it.
Sources: Vaswani et al., Attention is all you need (2017), section 3.3; Dosovitskiy et al., An image is worth 16x16
words (2020), equations 1 to 4. No figures were published for KAN layers under these three.
"""

from __future__ import annotations

import copy
import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import edgewise as ew
from results import Settings

FEATURES, HEADS, BLOCKS = 32, 4, 2
PATCH = 2  # pixels from one patch, which is a token, to the next; neighbours share one row
TOKENS = (8 // PATCH) ** 2
ACCURACY, AGREEMENT = 0.97, 1e-6
PROCESSES = 2


# ---------------------------------------------------------------------------------------- the network


def kan_part() -> nn.Module:
    """The feed-forward part of curves; a layer norm leaves nearly all values within (−3, 3)."""
    return ew.KANLayer(FEATURES, FEATURES, basis=ew.BSpline(grid=5), domain=(-3, 3))


def usual_part() -> nn.Module:
    """Linear, GELU, Linear with as many parameters: those of 8 basis functions and a base function for each edge."""
    hidden = 9 * FEATURES // 2
    return nn.Sequential(nn.Linear(FEATURES, hidden), nn.GELU(), nn.Linear(hidden, FEATURES))


class EncoderBlock(nn.Module):
    """Attention among tokens, then a feed-forward part for each of them, both added to what was there."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(FEATURES), nn.LayerNorm(FEATURES)])
        self.attention = nn.MultiheadAttention(FEATURES, HEADS, batch_first=True)
        self.part = part

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of shape (B, T, F) to tokens."""
        normed = self.norms[0](tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.part(self.norms[1](tokens))


class Reader(nn.Module):
    """Images of shape (B, 8, 8) to the scores of ten digits."""

    def __init__(self, part: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, FEATURES, kernel_size=PATCH + 1, stride=PATCH, padding=1)
        self.place = nn.Parameter(0.02 * torch.randn(TOKENS, FEATURES))
        self.blocks = nn.Sequential(*[EncoderBlock(part()) for _ in range(BLOCKS)])
        self.head = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Each patch is a token; the scores are read from their mean."""
        tokens = self.embed(images.unsqueeze(1)).flatten(2).mT
        return self.head(self.blocks(tokens + self.place).mean(dim=1))


def reader(part: Callable[[], nn.Module], seed: int) -> Reader:
    """A network at a reproducible start, without a change of the global seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Reader(part)


# ---------------------------------------------------------------------------------------- data and training


@dataclass(frozen=True)
class Digits:
    """Images with pixels in [−1, 1] and their labels."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def digits() -> Digits:
    """Three quarters to train on, one quarter to test on; the training was tried out on another split."""
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images, dtype=torch.float32).view(-1, 8, 8) / 8 - 1
    train, test = train_test_split(torch.arange(len(labels)), test_size=0.25, stratify=labels, random_state=1)
    answers = torch.tensor(labels)
    return Digits(pixels[train], answers[train], pixels[test], answers[test])


def train(
    model: nn.Module,
    data: Digits,
    epochs: int,
    *,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    seed: int = 0,
) -> None:
    """AdamW on minibatches, with a learning rate that rises at first and then falls to zero."""
    generator = torch.Generator().manual_seed(seed)
    batches = -(-len(data.train_x) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(data.train_x), generator=generator).split(64):
            optimizer.zero_grad()
            with context():
                scores = model(noisy(data.train_x[rows], generator))
                loss = nn.functional.cross_entropy(scores, data.train_y[rows], label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            schedule.step()


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images with grain, which keeps a large network from learning 1347 images by heart."""
    return images + 0.3 * torch.randn(images.shape, generator=generator)


@torch.no_grad()
def accuracy(model: nn.Module, data: Digits) -> float:
    """The share of the test images that are read correctly."""
    return float((model(data.test_x).argmax(dim=1) == data.test_y).float().mean())


def lowered() -> AbstractContextManager[Any]:
    """Other layers in bfloat16."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


# ---------------------------------------------------------------------------------------- compiled


def has_compiler() -> bool:
    """Whether `torch.compile` can build code for this processor."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++", "cl"))


def gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Those of the mean cross-entropy, by parameter."""
    return list(torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters())))


def difference(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest relative difference of two lists of tensors, each by its norm."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(some, others, strict=True))


def compiled_difference(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """How far values and gradients of the compiled network are from those of the network."""
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True)
    with torch.no_grad():
        values = difference([compiled(x)], [model(x)])
    return max(values, difference(gradients(compiled, x, y), gradients(model, x, y)))


# ---------------------------------------------------------------------------------------- on two processes


def distributed_difference(x: Tensor, y: Tensor, seed: int = 0) -> float:
    """How far the gradients of two processes are from those of one, relative, for the worst of all parameters.

    Args:
        x: images, a multiple of the number of processes; their floating type is the networks'.
        y: their labels.
        seed: of the networks' start.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (folder, x, y, seed)
        torch.multiprocessing.spawn(compare_gradients, arguments, nprocs=PROCESSES)
        return max(float(file.read_text()) for file in Path(folder).glob("difference-*"))


def compare_gradients(rank: int, folder: str, x: Tensor, y: Tensor, seed: int) -> None:
    """What each process does: its share of the batch with the others, and the whole batch by itself.

    Args:
        rank: the number of the process.
        folder: where the processes meet, and where the difference is left.
        x: all images, a multiple of the number of processes.
        y: their labels.
        seed: of the network's start.
    """
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    try:
        Path(folder, f"difference-{rank}").write_text(repr(_shared_against_alone(rank, x, y, seed)))
        # A thread of the group that outlives the interpreter aborts the process: what holds the group goes first.
        gc.collect()
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def _shared_against_alone(rank: int, x: Tensor, y: Tensor, seed: int) -> float:
    alone = reader(kan_part, seed).to(x.dtype)
    expected = gradients(alone, x, y)
    # What is shared is the first process's network: give the others another start, to see that it is.
    together = DistributedDataParallel(reader(kan_part, seed + rank).to(x.dtype))
    share = slice(rank, None, PROCESSES)
    nn.functional.cross_entropy(together(x[share]), y[share]).backward()
    found = [parameter.grad for parameter in together.parameters() if parameter.grad is not None]
    return difference(found, expected)


# ---------------------------------------------------------------------------------------- the table


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    """Every figure with what is wanted of it; differences are relative."""
    data = digits()
    epochs = 3 if settings.quick else 60
    usual, curved, low = reader(usual_part, 0), reader(kan_part, 0), reader(kan_part, 0)
    train(usual, data, epochs)
    train(curved, data, epochs)
    train(low, data, epochs, context=lowered)
    x, y = data.train_x[:64], data.train_y[:64]
    with lowered():
        low_accuracy = accuracy(low, data)
    size, usual_size = (sum(each.numel() for each in model.parameters()) for model in (curved, usual))
    return [
        _row(f"test accuracy, KAN layers ({size} parameters)", accuracy(curved, data), at_least=ACCURACY),
        _row("test accuracy, trained and tested under bfloat16 autocast", low_accuracy, at_least=ACCURACY),
        _row(f"test accuracy, Linear, GELU, Linear ({usual_size} parameters)", accuracy(usual, data)),
        _row(f"gradients of {PROCESSES} processes, float64", distributed_difference(x.double(), y), at_most=AGREEMENT),
        _row(f"gradients of {PROCESSES} processes, float32", distributed_difference(x, y)),
        _row(
            "torch.compile, values and gradients, float32" if has_compiler() else "torch.compile: no compiler here",
            compiled_difference(curved, x, y) if has_compiler() else None,
            at_most=1e-4,
        ),
    ]


def _row(
    figure: str, measured: float | None, *, at_least: float | None = None, at_most: float | None = None
) -> dict[str, Any]:
    wanted = f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}" if at_most is not None else ""
    met = None
    if measured is not None and wanted:
        met = "yes" if (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most) else "NO"
    return {"figure": figure, "wanted": wanted, "measured": measured, "met": met}


def main() -> None:
    """Train, compare, and show the table."""
    settings = Settings.parse("inside_a_network", __doc__.splitlines()[0])
    settings.show("Inside a deep network", rows_of(settings))


if __name__ == "__main__":
    main()
