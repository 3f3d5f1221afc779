"""`KAN`: the user's class. A network whose one-line methods call the folders beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from edgewise import storage, surgery, symbolic
from edgewise.basis import Basis, BSpline
from edgewise.errors import OptionError
from edgewise.lazy import LazyModule
from edgewise.network import (
    BasisBlock,
    Domain,
    KANLayer,
    Network,
    NodeWidth,
    Options,
    arities,
    check_names,
    domain_grid,
    small_random_coefficients,
)
from edgewise.network.base import Base, base_function
from edgewise.network.start import HIDDEN_DOMAIN
from edgewise.primitives import Primitive
from edgewise.surgery import Attribution, Edge
from edgewise.symbolic import Match
from edgewise.training import History, Loss, fit

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure

    from edgewise import picture
else:
    picture = LazyModule("edgewise.picture")
    sympy = LazyModule("sympy")

_SAMPLE_ROWS = 256


class KAN(Network):
    """A Kolmogorov–Arnold network.

    Args:
        width: numbers of nodes, inputs first: `[2, 5, 1]`; `[2, [3, 2], 1]` has three sums and two products of two
            factors in its hidden layer; `[3, [3, (2, 3)], 1]` three sums, a product of two and one of three.
        basis: function family of every edge, or one per layer; cubic B-splines on 5 intervals if not given.
        base: base function b of every edge: None, "silu", "identity" or a callable. With second-order training the
            splines do better without.
        domain: the interval of the inputs, one pair for all or one per input. Outside it edges continue linearly.
        seed: makes the start reproducible.
        dtype: floating type of the parameters and of the inputs.
        input_names: one per input; x0, x1, … if not given.
        output_names: one per output; y, or y0, y1, … if not given.

    Raises:
        OptionError: the width, a basis or the names do not make a network.
        DomainError: a domain is empty, reversed or not finite.

    Example:
        >>> import edgewise as ew
        >>> data = ew.create_dataset(lambda x: x[:, 0] * x[:, 1], n_var=2)
        >>> model = ew.KAN([2, 2, 1], seed=0)
        >>> history = model.fit(data, steps=50)
        >>> model(data.test_input).shape
        torch.Size([1000, 1])

    Source: Liu et al., KAN: Kolmogorov–Arnold Networks (2024); product nodes: KAN 2.0 (2024).
    """

    def __init__(
        self,
        width: Sequence[NodeWidth],
        *,
        basis: Basis | Sequence[Basis] | None = None,
        base: Base = None,
        domain: Domain = (-1.0, 1.0),
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        nodes = _nodes(width)
        inputs = len(nodes[0])
        generator = torch.Generator().manual_seed(seed)
        layers = []
        for index, layer_basis in enumerate(_bases(basis, len(nodes) - 1)):
            grid = domain_grid(HIDDEN_DOMAIN if index else domain, len(nodes[index]), dtype)
            block = _start(layer_basis, base, grid, nodes[index + 1], generator)
            layers.append(KANLayer.from_blocks([block], nodes[index + 1], len(nodes[index])))
        ends = domain_grid(domain, inputs, dtype)
        uniform = torch.rand((_SAMPLE_ROWS, inputs), generator=generator, dtype=dtype)
        options = Options(
            input_names=check_names(input_names, inputs, "inputs"),
            output_names=check_names(output_names, len(nodes[-1]), "outputs"),
        )
        super().__init__(layers, sample=torch.lerp(ends[:, 0], ends[:, 1], uniform), options=options)

    def fit(self, data: Any, y: Any = None, **options: Any) -> History:
        """Train in place; see `edgewise.fit` for the options."""
        return fit(self, data, y, **options)

    def refine(self, *, grid: int | None = None, degree: int | None = None) -> Self:
        """A new model on a finer grid or at a higher degree; see `edgewise.surgery.refine`."""
        return surgery.refine(self, grid=grid, degree=degree)

    def update_grid(self, x: Tensor) -> Self:
        """A new model whose knots follow the data; see `edgewise.surgery.update_grid`."""
        return surgery.update_grid(self, x)

    def adapt_knots(self, x: Tensor, *, grid: int | None = None) -> Self:
        """A new model with knots inserted where its function is sharp; see `edgewise.surgery.adapt_knots`."""
        return surgery.adapt_knots(self, x, grid=grid)

    @property
    def moved(self) -> float | None:
        """Root mean square by which the last refinement moved the outputs on the sample; None without one."""
        return self.options.moved

    @property
    def is_symbolic(self) -> bool:
        """Whether every edge has a name, so that there is a formula."""
        return not symbolic.numeric_edges(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the last `auto_symbolic` named and refused, a line each."""
        return self.options.notes

    def with_basis(self, layer: int, *edge_and_basis: Any) -> Self:
        """Express one edge, `with_basis(layer, input, output, basis)`, or a layer, `with_basis(layer, basis)`, anew.

        Args:
            layer: index of the layer.
            edge_and_basis: input and output of the edge, or neither for the whole layer; then the basis.

        Returns:
            A new model; see `edgewise.surgery.with_basis`.

        Raises:
            OptionError: the arguments are neither of these.
        """
        *edge, basis = edge_and_basis or (None,)
        if len(edge) not in {0, 2} or not isinstance(basis, Basis):
            given = ", ".join(map(repr, (layer, *edge_and_basis)))
            raise OptionError(f"with_basis takes (layer, basis) or (layer, input, output, basis), got ({given})")
        source, target = edge if edge else (None, None)
        return surgery.with_basis(self, layer, source, target, basis)

    def lock(self, layer: int, source: int, target: int) -> Self:
        """A new model in which an edge keeps its function while the rest trains."""
        return surgery.lock(self, layer, source, target)

    def unlock(self, layer: int, source: int, target: int) -> Self:
        """A new model in which a locked edge trains again."""
        return surgery.lock(self, layer, source, target, locked=False)

    def edge(self, layer: int, source: int, target: int) -> Edge:
        """The learned function of one edge: a callable with `derivative`, `table` and `plot`."""
        return Edge(self, layer, source, target)

    def attribution(self, x: Tensor | None = None) -> Attribution:
        """How much each input, node and edge carries; see `edgewise.surgery.attribution`."""
        return surgery.attribution(self, x)

    def prune(self, x: Tensor | None = None, *, node_threshold: float = 1e-2, edge_threshold: float = 3e-2) -> Self:
        """A new, smaller model; see `edgewise.surgery.prune`."""
        return surgery.prune(self, x, node_threshold=node_threshold, edge_threshold=edge_threshold)

    def prune_inputs(self, x: Tensor | None = None, *, threshold: float = 1e-2) -> Self:
        """A new model without edges from inputs that carry next to nothing; see `edgewise.surgery.prune_inputs`."""
        return surgery.prune_inputs(self, x, threshold=threshold)

    def suggest_symbolic(self, layer: int, source: int, target: int, **options: Any) -> list[Match]:
        """Primitives ranked as names of an edge; see `edgewise.symbolic.suggest_symbolic`."""
        return symbolic.suggest_symbolic(self, layer, source, target, **options)

    def fix_symbolic(self, layer: int, source: int, target: int, primitive: str | Primitive) -> Self:
        """A new model with a primitive in the place of an edge; see `edgewise.symbolic.fix_symbolic`."""
        return symbolic.fix_symbolic(self, layer, source, target, primitive)

    def unfix_symbolic(self, layer: int, source: int, target: int) -> Self:
        """A new model in which a symbolic edge is a trainable curve again."""
        return symbolic.unfix_symbolic(self, layer, source, target)

    def auto_symbolic(self, data: Any, *, loss: str | Loss = "mse", **options: Any) -> Self:
        """A new model with all edges named that can be; see `edgewise.symbolic.auto_symbolic`."""
        return symbolic.auto_symbolic(self, data, loss=loss, **options)

    def symbolic_formula(
        self, names: Sequence[str] | None = None, digits: int | None = None
    ) -> sympy.Expr | list[sympy.Expr]:
        """The formula of a model whose edges are all symbolic; see `edgewise.symbolic.symbolic_formula`."""
        return symbolic.symbolic_formula(self, names=names, digits=digits)

    def plot(self, *, title: str | None = None) -> Figure:
        """The network diagram, each edge drawn as its curve over the sample's range."""
        return picture.draw_network(self, title=title)

    def save(self, path: str | Path) -> None:
        """Write the model to a file; see `edgewise.load`."""
        storage.save_network(self, path)


def load(path: str | Path) -> KAN:
    """Read a model that `KAN.save` wrote.

    Args:
        path: the file.

    Returns:
        The model.

    Raises:
        ModelFileError: the file cannot be read or is no model of this library.
    """
    return storage.load_network(path, KAN)


def _nodes(width: Sequence[NodeWidth]) -> list[tuple[int, ...]]:
    if not isinstance(width, Sequence) or len(width) < 2:
        raise OptionError(f"a width lists at least the inputs and the outputs, as in [2, 1]; got {width!r}")
    if not isinstance(width[0], int):
        raise OptionError(f"the first entry of a width is the number of inputs, got {width[0]!r}")
    return [arities(entry) for entry in width]


def _bases(basis: Basis | Sequence[Basis] | None, layers: int) -> list[Basis]:
    bases = (
        [BSpline() if basis is None else basis] * layers if basis is None or isinstance(basis, Basis) else list(basis)
    )
    if len(bases) != layers:
        raise OptionError(f"{layers} layers need one basis, or {layers} of them, got {len(bases)}")
    return bases


def _start(basis: Basis, base: Base, grid: Tensor, nodes: tuple[int, ...], generator: torch.Generator) -> BasisBlock:
    """A block at its random start."""
    coefficients = small_random_coefficients(basis, grid, nodes, generator)
    weight = None
    if base_function(base) is not None:
        inputs, outputs = grid.shape[0], sum(nodes)
        weight = torch.randn((inputs, outputs), generator=generator, dtype=grid.dtype) / inputs**0.5
    return BasisBlock(basis, grid, coefficients, base=base, base_weight=weight)
