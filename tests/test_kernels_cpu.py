"""The C++ kernels against the reference in float64, on everything that a call can look like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise import kernels
from edgewise.basis import BSpline, Chebyshev
from edgewise.errors import OptionError, ShapeError
from edgewise.kernels import dense, dispatch, extension, functions
from edgewise.kernels.cpu import CpuBackend
from edgewise.kernels.reference import ReferenceBackend

pytestmark = [
    pytest.mark.skipif(extension.module is None, reason="installed without a compiler: there is no extension to test"),
    # torch's forward mode compiles its own rules with torch.jit.script, of which torch itself warns.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

F32, F64 = torch.float32, torch.float64
CPU, REFERENCE = CpuBackend(), ReferenceBackend()
OPERATIONS = ["apply", "pullback", "coefficient_gradient", "gradients"]


@st.composite
def calls(draw, types=(F64, F32), largest=(70, 9, 150), degrees=(1, 9), highest_free=7):
    """A basis, a grid of equal or free (even coinciding) knots, and inputs inside, at knots, outside and NaN."""
    batch, inputs, outputs = (draw(st.integers(0 if k == 0 else 1, size)) for k, size in enumerate(largest))
    basis = BSpline(grid=draw(st.integers(1, 30)), degree=draw(st.integers(*degrees)))
    order, dtype = draw(st.integers(0, 3)), draw(st.sampled_from(types))
    may_be_free = basis.degree <= highest_free
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low = rng.uniform(-3, 3, (inputs, 1))
    grid = np.concatenate([low, low + rng.uniform(0.1, 4, (inputs, 1))], axis=1)
    if may_be_free and draw(st.booleans()):
        # Mixed with equal cells: next to cells a thousand times their length, high derivatives lose digits in both.
        shares = 0.9 * np.sort(rng.uniform(0, 1, (inputs, basis.grid - 1)), axis=1)
        shares += 0.1 * np.arange(1, basis.grid) / basis.grid
        if basis.grid > 2 and draw(st.booleans()):
            shares[:, 1] = shares[:, 0]
        shares = np.concatenate([np.zeros((inputs, 1)), shares, np.ones((inputs, 1))], axis=1)
        grid = grid[:, :1] + (grid[:, 1:] - grid[:, :1]) * shares
    grid = torch.tensor(grid, dtype=dtype)
    x = grid[:, 0] + (grid[:, -1] - grid[:, 0]) * torch.tensor(rng.uniform(-0.4, 1.4, (batch, inputs)))
    at_knots = torch.tensor(rng.uniform(size=(batch, inputs)) < 0.2)
    knots = basis.breakpoints(grid)[
        torch.arange(inputs), torch.tensor(rng.integers(0, basis.grid + 1, (batch, inputs)))
    ]
    # In float32 the two sides may take a knot for different cells, where only derivatives below the degree agree.
    exact = dtype == F64 or order + 1 < basis.degree
    x = torch.where(at_knots & exact, knots, x.to(dtype))
    x[torch.tensor(rng.uniform(size=(batch, inputs)) < 0.03)] = torch.nan

    def normal(*shape):
        return torch.tensor(rng.normal(size=shape), dtype=dtype)

    tensors = {"x": x, "c": normal(inputs, basis.size, outputs), "g": normal(batch, outputs)}
    tensors["v"] = normal(batch, inputs) if draw(st.booleans()) else None
    return basis, grid, order, tensors


def arguments(operation, tensors):
    names = {"apply": "xcv", "pullback": "xcg", "coefficient_gradient": "xgv", "gradients": "xcgv"}[operation]
    return [tensors[name] for name in names]


def run(backend, operation, call):
    basis, grid, order, tensors = call
    results = getattr(backend, operation)(*arguments(operation, tensors), grid, basis, order)
    return results if isinstance(results, tuple) else (results,)


def exactly(operation, call):
    """The reference in float64, and the same of the terms' magnitudes."""
    basis, grid, order, tensors = call
    double = {name: None if tensor is None else tensor.double() for name, tensor in tensors.items()}
    magnitudes = {name: None if tensor is None or name == "x" else tensor.abs() for name, tensor in double.items()}
    wide = (basis, grid.double(), order, double)
    return run(REFERENCE, operation, wide), run(Magnitudes(), operation, (*wide[:3], magnitudes | {"x": double["x"]}))


class Magnitudes(ReferenceBackend):
    """Sums of the magnitudes of all terms, when it is given magnitudes."""

    def __getattribute__(self, name):
        operation = super().__getattribute__(name)
        if name not in OPERATIONS[:3]:
            return operation
        return lambda *given: operation(*given[:4], _Absolute(given[4]), given[5])


class _Absolute:
    def __init__(self, basis):
        self.basis = basis

    def values(self, x, grid, order):
        # At a knot a function may be zero of which the polynomials are not: the largest stands for all.
        values = self.basis.values(x, grid, order).abs().nan_to_num()
        return values.amax(dim=-1, keepdim=True).expand(values.shape)


def assert_within_tolerance(got, call, operation, factor=1):
    for result, wanted, magnitude in zip(got, *exactly(operation, call), strict=True):
        assert result.dtype == call[3]["x"].dtype
        assert result.shape == wanted.shape
        assert torch.equal(result.isnan(), wanted.isnan())
        error = (result.double() - wanted).abs()
        assert bool((error <= factor * CPU.tolerances[result.dtype] * magnitude)[~wanted.isnan()].all()), float(
            (error / magnitude).nan_to_num().max()
        )


@given(call=calls(), operation=st.sampled_from(OPERATIONS))
@settings(max_examples=300, deadline=None)
def test_it_agrees_with_the_reference(call, operation):
    assert_within_tolerance(run(CPU, operation, call), call, operation)


@given(call=calls(degrees=(8, 9), highest_free=9), operation=st.sampled_from(OPERATIONS))
@settings(max_examples=100, deadline=None)
def test_high_degrees_between_free_knots_lose_a_digit(call, operation):
    """As they do in the reference, which loses more."""
    assert_within_tolerance(run(CPU, operation, call), call, operation, factor=10)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("sizes", [(4100, 3, 5), (300, 40, 130), (1, 1, 1), (257, 1, 64), (1000, 17, 1), (2, 33, 300)])
@pytest.mark.parametrize("dtype", [F64, F32])
def test_sizes_that_cross_the_blocks(operation, sizes, dtype, normal, uniform):
    batch, inputs, outputs = sizes
    basis, grid = BSpline(grid=11, degree=3), torch.tensor([[-1.0, 1.0]], dtype=dtype).repeat(inputs, 1)
    tensors = {
        "x": uniform(-1.2, 1.2, batch, inputs),
        "c": normal(inputs, basis.size, outputs),
        "g": normal(batch, outputs),
        "v": normal(batch, inputs),
    }
    call = basis, grid, 0, {name: tensor.to(dtype) for name, tensor in tensors.items()}
    assert_within_tolerance(run(CPU, operation, call), call, operation)


@pytest.fixture
def instructions():
    """Whatever a test chooses, the best is in use again afterwards."""
    yield extension.module.instruction_sets()
    extension.module.use(extension.module.instruction_sets()[0])


@given(call=calls(largest=(40, 3, 40)), operation=st.sampled_from(OPERATIONS))
@settings(max_examples=60, deadline=None)
def test_every_instruction_set_agrees_with_the_reference(call, operation):
    available = extension.module.instruction_sets()
    try:
        for name in available:
            extension.module.use(name)
            assert extension.instruction_sets()[0] == name
            assert_within_tolerance(run(CPU, operation, call), call, operation)
    finally:
        extension.module.use(available[0])


def test_an_instruction_set_that_is_not_there_is_refused(instructions):
    with pytest.raises(ValueError, match="no kernels for Z80 on this processor"):
        extension.module.use("Z80")
    assert extension.module.in_use() == instructions[0]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("sizes", [(3000, 2, 70), (700, 24, 130), (5000, 1, 9), (40, 200, 64)])
@pytest.mark.parametrize("free", [False, True])
def test_threads_change_no_bit(operation, sizes, free, normal, uniform, free_grid):
    batch, inputs, outputs = sizes
    basis = BSpline(grid=7, degree=3)
    grid = free_grid(inputs, 7) if free else torch.tensor([[-1.0, 1.0]], dtype=F64).repeat(inputs, 1)
    tensors = {
        "x": uniform(-1.2, 1.2, batch, inputs),
        "c": normal(inputs, basis.size, outputs),
        "g": normal(batch, outputs),
        "v": normal(batch, inputs),
    }
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(CPU, operation, (basis, grid, 0, tensors)))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert torch.equal(one, other)


def test_wide_and_tiny_scales(normal):
    # Far beyond the domain, and on domains of very different lengths, nothing overflows on the way.
    basis = BSpline(grid=4, degree=3)
    for length in (1e-30, 1e-3, 1e30):
        grid = torch.tensor([[-length, length]], dtype=F64)
        x = length * torch.tensor([[-1e6], [-1.0], [0.3], [1.0], [1e6]], dtype=F64)
        tensors = {"x": x, "c": normal(1, basis.size, 3), "g": normal(5, 3), "v": None}
        for order in (0, 1, 2):
            for operation in OPERATIONS:
                call = basis, grid, order, tensors
                assert_within_tolerance(run(CPU, operation, call), call, operation)


@pytest.mark.parametrize("order", range(6))
def test_orders_beyond_the_degree_are_zero(order, normal, uniform):
    basis, grid = BSpline(grid=3, degree=2), torch.tensor([[-1.0, 1.0]], dtype=F64)
    y = kernels.apply(basis, grid, uniform(-1, 1, 9, 1), normal(1, 5, 2), order=order, backend="cpu")
    assert bool((y == 0).all()) == (order > 2)


def test_infinite_inputs_are_those_of_the_reference(normal):
    basis, grid = BSpline(grid=3, degree=3), torch.tensor([[-1.0, 1.0]], dtype=F64)
    x, c = torch.tensor([[torch.inf], [-torch.inf]], dtype=F64), normal(1, 6, 2)
    for order in range(3):
        results = [kernels.apply(basis, grid, x, c, order=order, backend=name) for name in ("cpu", "reference")]
        torch.testing.assert_close(*results, equal_nan=True)


# --------------------------------------------------------------------------------------------- with a base function


@given(call=calls())
@settings(max_examples=60, deadline=None)
def test_a_base_function_is_added_in_the_same_pass(call):
    basis, grid, _, tensors = call
    x, c, e = tensors["x"], tensors["c"], tensors["x"].sin()
    w = c[:, 0]
    got = CPU.apply_with_base(x, c, e, w, grid, basis)
    plain, magnitude = exactly("apply", (basis, grid, 0, tensors | {"v": None}))
    wanted = plain[0] + e.double() @ w.double()
    scale = magnitude[0] + e.double().abs().nan_to_num() @ w.double().abs()
    assert torch.equal(got.isnan(), wanted.isnan())
    assert bool(((got.double() - wanted).abs() <= CPU.tolerances[x.dtype] * scale)[~wanted.isnan()].all())


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gradients_with_a_base_function(backend, normal, uniform, monkeypatch):
    monkeypatch.setattr(dense, "MOST_VALUES", 0)
    if backend == "reference":
        monkeypatch.setattr(dispatch, "BACKENDS", dispatch.BACKENDS[-1:])
    basis = BSpline(grid=3, degree=3)
    x, c, w = uniform(-0.9, 0.9, 6, 2), normal(2, basis.size, 3), normal(2, 3)
    leaves = tuple(leaf.requires_grad_() for leaf in (x, c, w))

    def one_pass(x, c, w):
        return kernels.apply_with_base(basis, ENDS, x, c, x.sin(), w)

    def two_passes(x, c, w):
        return kernels.apply(basis, ENDS, x, c) + x.sin() @ w

    torch.testing.assert_close(one_pass(*leaves), two_passes(*leaves))
    options = {"fast_mode": True, "check_undefined_grad": False, "check_batched_grad": True}
    assert torch.autograd.gradcheck(one_pass, leaves, **options)
    assert torch.autograd.gradgradcheck(one_pass, leaves, **options)
    values = tuple(leaf.detach() for leaf in leaves)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        derivatives = (transform(path, argnums=(0, 1, 2))(*values) for path in (one_pass, two_passes))
        torch.testing.assert_close(*derivatives)


# --------------------------------------------------------------------------------------------- dispatch


def tensors_of(**changes):
    shapes = {"x": (5, 2), "c": (2, 8, 3), "g": (5, 3), "v": (5, 2)}
    return {name: torch.ones(shape, dtype=F64) for name, shape in shapes.items()} | changes


ENDS = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]], dtype=F64)


def test_splines_run_here_and_the_reasons_why_others_do_not():
    x = torch.zeros(1, 1)
    assert dispatch.select(BSpline(), 0, (x,)).name == "cpu"
    assert CPU.why_not(Chebyshev(), 0, (x,)) == "it serves B-splines, not Chebyshev"
    assert "float32 and float64, not torch.float16" in CPU.why_not(BSpline(), 0, (x.half(),))
    assert CPU.why_not(BSpline(), 0, (x.to("meta"),)) == "it serves tensors on the CPU"
    assert "mapped over several" in CPU.why_not(BSpline(), 0, (x.expand(3, 1, 1),))


def test_the_backend_can_be_forced(monkeypatch):
    given = tensors_of()
    for name, backend in (("cpu", CpuBackend), ("reference", ReferenceBackend)):
        calls = []
        monkeypatch.setattr(backend, "apply", lambda self, x, c, *rest, calls=calls: calls.append(1) or x @ c[:, 0])
        kernels.apply(BSpline(), ENDS, given["x"], given["c"], backend=name)
        assert calls == [1]
    with pytest.raises(OptionError, match="'cpu' cannot serve this call: it serves B-splines, not Chebyshev"):
        kernels.apply(Chebyshev(7), ENDS, given["x"], given["c"], backend="cpu")
    with pytest.raises(OptionError, match="unknown backend 'gpu'; use 'cpu', 'reference'"):
        kernels.pullback(BSpline(), ENDS, given["x"], given["c"], given["g"], backend="gpu")


def test_a_forced_backend_goes_backward_too(monkeypatch):
    given, calls = tensors_of(), []
    given["c"].requires_grad_()
    original = ReferenceBackend.coefficient_gradient
    monkeypatch.setattr(ReferenceBackend, "coefficient_gradient", lambda *rest: calls.append(1) or original(*rest))
    kernels.apply(BSpline(), ENDS, given["x"], given["c"], backend="reference").sum().backward()
    assert calls == [1]


@pytest.mark.parametrize(
    ("operation", "changes", "message"),
    [
        ("apply", {"c": torch.ones(2, 7, 3, dtype=F64)}, r"c must be \(2, 8, 3\) of torch.float64"),
        ("apply", {"c": torch.ones(2, 8, 3)}, r"c must be .*got \(2, 8, 3\) of torch.float32"),
        ("apply", {"v": torch.ones(5, 1, dtype=F64)}, r"v must be \(5, 2\)"),
        ("pullback", {"g": torch.ones(4, 3, dtype=F64)}, r"g must be \(5, 3\)"),
        ("gradients", {"c": torch.ones(3, 8, 3, dtype=F64)}, r"c must be \(2, 8, 3\)"),
        ("coefficient_gradient", {"x": torch.ones(5, 3, dtype=F64)}, r"grid must be \(3, 2\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(operation, changes, message):
    with pytest.raises(ShapeError, match=message):
        run(CPU, operation, (BSpline(), ENDS, 0, tensors_of(**changes)))


def test_both_gradients_come_from_one_pass(monkeypatch):
    given, calls = tensors_of(), []
    x, c = given["x"].requires_grad_(), given["c"].requires_grad_()
    original = CpuBackend.gradients
    monkeypatch.setattr(CpuBackend, "gradients", lambda *rest: calls.append(1) or original(*rest))
    kernels.apply(BSpline(), ENDS, x, c).sum().backward()
    assert calls == [1]
    y = functions.CONTRACTIONS.apply(x, c, None, ENDS, BSpline(), None, 0)
    first = torch.autograd.grad(y.sum(), (x, c), create_graph=True)  # may be differentiated again
    assert all(gradient.requires_grad for gradient in first)
    assert calls == [1]


def test_an_installation_without_the_extension_works_and_says_so(monkeypatch):
    given = tensors_of()
    wanted = kernels.apply(BSpline(), ENDS, given["x"], given["c"])
    monkeypatch.setattr(extension, "module", None)
    monkeypatch.setattr(extension, "_ERROR", "no module named _cpu")
    assert extension.instruction_sets() == []
    reason = CPU.why_not(BSpline(), 0, (given["x"],))
    assert reason.startswith("the C++ extension is not installed (no module named _cpu); install Edgewise where GCC")
    assert dispatch.select(BSpline(), 0, (given["x"],)).name == "reference"
    torch.testing.assert_close(kernels.apply(BSpline(), ENDS, given["x"], given["c"]), wanted)
