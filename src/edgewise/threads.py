"""How many threads small work gets: one, because sharing it out costs more than doing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

FEW_ELEMENTS = 2**21  # numbers in the largest array of a job that one thread does best


@contextmanager
def threads_for(elements: int) -> Iterator[None]:
    """Use one thread for a small job, and torch's own number for a large one; the number is restored at the end.

    On a busy machine the threads of a small job wait for each other far longer than they compute.

    Args:
        elements: numbers in the job's largest array.

    Yields:
        Nothing.

    Example:
        >>> import torch
        >>> from edgewise.threads import threads_for
        >>> with threads_for(1000):
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    if elements > FEW_ELEMENTS or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
