"""Fixtures that several test files share."""

import itertools
import zlib

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.kernels import dense, dispatch
from edgewise.network import BasisBlock, KANLayer, Network, SymbolicBlock, arities

torch.set_num_threads(1)

# Every family of functions, in several sizes: what the contract of a basis is tested on.
BASES = [
    *(BSpline(grid=grid, degree=degree) for degree, grid in enumerate((4, 1, 5, 3, 2, 6, 1, 3, 5), start=1)),
    BSpline(grid=40, degree=3),
    Chebyshev(degree=1),
    Chebyshev(degree=2),
    Chebyshev(degree=9),
    Fourier(terms=1),
    Fourier(terms=4),
    Gaussian(centers=2),
    Gaussian(centers=7),
    MexicanHat(scales=1),
    MexicanHat(scales=3),
]


@pytest.fixture(params=BASES, ids=str)
def basis(request):
    return request.param


@pytest.fixture(params=[basis for basis in BASES if not isinstance(basis, Fourier)], ids=str)
def linear_basis(request):
    """The families that continue linearly beyond the domain."""
    return request.param


@pytest.fixture(params=["the best", "reference"])
def contracted(request, monkeypatch):
    """No dense path, so that every call takes the contractions; on the best backend, then on the reference."""
    monkeypatch.setattr(dense, "MOST_VALUES", 0)
    if request.param == "reference":
        monkeypatch.setattr(dispatch, "BACKENDS", dispatch.BACKENDS[-1:])


@pytest.fixture
def rng(request):
    """A generator of its own for every test, the same in every run."""
    return torch.Generator().manual_seed(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def normal(rng):
    """Normal random numbers in float64 of the given shape."""
    return lambda *shape: torch.randn(shape, generator=rng, dtype=torch.float64)


@pytest.fixture
def uniform(rng):
    """Uniform random numbers in float64 from low to high, of the given shape."""
    return lambda low, high, *shape: low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)


@pytest.fixture
def free_grid(uniform):
    """Free knots: one row per input, no cell shorter than a quarter of the mean."""

    def make(inputs, cells, low=-1.0, high=1.0):
        ends = torch.cat([torch.zeros(inputs, 1), (1 + 3 * uniform(0, 1, inputs, cells)).cumsum(dim=1)], dim=1)
        return low + (high - low) * ends / ends[:, -1:]

    return make


@pytest.fixture
def basis_block(normal):
    """A block with random coefficients on the domain [-1, 1]."""

    def make(inputs, subnodes, basis=None, grid=None, scale=0.5, **options):
        basis = BSpline(grid=3, degree=3) if basis is None else basis
        grid = torch.tensor([[-1.0, 1.0]] * inputs, dtype=torch.float64) if grid is None else grid
        if options.get("base") is not None:
            options.setdefault("base_weight", normal(inputs, subnodes))
        return BasisBlock(basis, grid, scale * normal(inputs, basis.size, subnodes), **options)

    return make


@pytest.fixture
def symbolic_block(normal):
    """A symbolic block with random parameters: a and c near 1, b and d near 0."""

    def make(primitive, edges, shape, **options):
        source, target = torch.tensor(edges).T
        affine = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64) + 0.2 * normal(len(edges), 4)
        return SymbolicBlock(primitive, source, target, affine, shape=shape, **options)

    return make


@pytest.fixture
def network(basis_block, uniform):
    """A network of basis blocks with random coefficients; `width` as for `KAN`."""

    def make(width, **options):
        nodes = [arities(entry) for entry in width]
        layers = [
            KANLayer.from_blocks([basis_block(len(before), sum(after), **options)], after, len(before))
            for before, after in itertools.pairwise(nodes)
        ]
        return Network(layers, sample=uniform(-1, 1, 8, len(nodes[0])))

    return make


@pytest.fixture
def mixed_network(basis_block, symbolic_block, uniform):
    """Two blocks in each layer, product nodes, a base function, masked and locked edges, two outputs."""
    first_mask = torch.tensor([[True, True, False, True, True], [True, False, True, True, True]])
    locked = torch.tensor([[True, False, False, False, False], [False, False, False, False, True]])
    first = [
        basis_block(2, 5, base="silu", mask=first_mask, locked=locked),
        symbolic_block("sin", [(0, 2), (1, 1)], (2, 5), locked=torch.tensor([False, True])),
    ]
    second_mask = torch.ones(3, 2, dtype=torch.bool)
    second_mask[2, 1] = second_mask[1, 0] = False
    second = [
        basis_block(3, 2, mask=second_mask),
        symbolic_block("tanh", [(2, 1)], (3, 2)),
    ]
    layers = [KANLayer.from_blocks(first, (1, 2, 2), 2), KANLayer.from_blocks(second, (1, 1), 3)]
    return Network(layers, sample=uniform(-1, 1, 8, 2))
