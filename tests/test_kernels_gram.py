"""JᵀJ from the non-zeros of J, against the product of J with itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.basis import BSpline, Chebyshev
from edgewise.errors import ShapeError
from edgewise.kan import KAN
from edgewise.kernels import extension, gram
from edgewise.kernels.gram import Segment, add_half_gram
from edgewise.training.gauss_newton import accumulate, get_parameters

F32, F64 = torch.float32, torch.float64

pytestmark = pytest.mark.skipif(
    extension.module is None, reason="installed without a compiler: there is no extension to test"
)


@st.composite
def jacobians(draw):
    """Segments, some of equal width and some overlapping, and the same as a dense matrix."""
    samples, columns = draw(st.integers(0, 60)), draw(st.integers(12, 40))
    dtype = draw(st.sampled_from([F64, F32]))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dense, segments = torch.zeros((samples, columns), dtype=F64), []
    for width in draw(st.lists(st.integers(1, 12), min_size=1, max_size=6)):
        column = draw(st.integers(0, columns - width))
        first = torch.randint(0, columns - width - column + 1, (samples,), generator=rng, dtype=torch.int32)
        values = torch.randn((samples, width), generator=rng, dtype=dtype)
        adjoint = torch.randn((samples,), generator=rng, dtype=dtype)
        segments.append(Segment(values, adjoint, first, column))
        for n in range(samples):
            start = column + int(first[n])
            dense[n, start : start + width] += adjoint[n].double() * values[n].double()
    return segments, dense, dtype


@given(jacobian=jacobians())
@settings(max_examples=150, deadline=None)
def test_it_is_the_product_of_the_dense_jacobian(jacobian):
    segments, dense, dtype = jacobian
    half = torch.zeros((dense.shape[1], dense.shape[1]), dtype=dtype)
    add_half_gram(segments, half)
    error = (half + half.T).double() - dense.T @ dense
    # Overlapping segments may cancel in J, so errors are measured by their largest product.
    largest = max([1.0, *((s.adjoint[:, None] * s.values).square().sum().item() for s in segments)])
    assert float(error.abs().max()) <= {F64: 1e-13, F32: 1e-5}[dtype] * 6 * largest


def test_what_is_there_is_added_to():
    half = torch.eye(3, dtype=F64)
    ones = torch.ones(2, dtype=F64)
    add_half_gram([Segment(torch.ones((2, 2), dtype=F64), ones, torch.tensor([0, 1], dtype=torch.int32), 0)], half)
    wanted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 1.0]], dtype=F64) + 2 * torch.eye(3, dtype=F64)
    torch.testing.assert_close(half + half.T, wanted)


def test_threads_change_no_bit(normal):
    samples, columns, results = 5000, 90, []
    first = torch.arange(samples, dtype=torch.int32) % 5
    segments = [Segment(normal(samples, 4), normal(samples), first, 8 * k) for k in range(10)]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(torch.zeros((columns, columns), dtype=F64))
            add_half_gram(segments, results[-1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def segment(samples=4, width=2, column=0, dtype=F64, index=torch.int32, adjoints=None):
    adjoint = torch.ones(samples if adjoints is None else adjoints, dtype=dtype)
    return Segment(torch.ones((samples, width), dtype=dtype), adjoint, torch.zeros(samples, dtype=index), column)


@pytest.mark.parametrize(
    "wrong", [segment(samples=5), segment(adjoints=3), segment(dtype=F32), segment(index=torch.int64)]
)
def test_segments_of_other_shapes_and_types_are_refused(wrong):
    half = torch.zeros((6, 6), dtype=F64)
    with pytest.raises(ShapeError, match=r"segment 1 must have 4 samples of torch\.float64 and int32, got"):
        add_half_gram([segment(), wrong], half)
    assert not half.any()


@pytest.mark.parametrize(("column", "first", "sample"), [(5, [0] * 4, 0), (-1, [0] * 4, 0), (2, [0, 1, 3, 0], 2)])
def test_segments_may_not_leave_the_columns(column, first, sample):
    ones, half = torch.ones(4, dtype=F64), torch.zeros((6, 6), dtype=F64)
    leaving = Segment(torch.ones((4, 2), dtype=F64), ones, torch.tensor(first, dtype=torch.int32), column)
    with pytest.raises(ShapeError, match=f"segment 1 leaves the columns at sample {sample}; there are 6"):
        add_half_gram([segment(), leaving], half)
    assert not half.any()


# ---------------------------------------------------------------------------------------- in the solver


CASES = {
    "splines": ([2, 3, 1], {"basis": BSpline(20, 3)}),
    "linear splines": ([2, 3, 1], {"basis": BSpline(30, 1)}),
    "degree 7": ([3, 2, 1], {"basis": BSpline(40, 7)}),
    "with a base function": ([2, 3, 2], {"basis": BSpline(20, 3), "base": "silu"}),
    "products": ([2, [1, (2, 3)], 1], {"basis": BSpline(20, 3)}),
    "masked, locked and symbolic edges": None,
    "one dense layer": ([2, 3, 1], {"basis": [BSpline(20, 3), Chebyshev(3)]}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 3])
def test_the_solver_sees_what_it_sees_of_the_dense_product(case, rows, mixed_network, normal, uniform, monkeypatch):
    model = mixed_network if CASES[case] is None else KAN(CASES[case][0], **CASES[case][1])
    x, factor = uniform(-1.2, 1.2, 70, model.in_features), normal(70, model.out_features, rows)
    residuals = normal(70, rows)
    results = []
    for reason in (None, "no"):
        monkeypatch.setattr(gram, "why_not", lambda *given, reason=reason: reason)
        results.append(accumulate(model, x, factor, residuals))
    torch.testing.assert_close(*results, rtol=1e-11, atol=1e-11)
    assert results[0][0].shape == get_parameters(model).shape


def test_the_rule_is_sparsity_and_a_type_on_the_cpu(monkeypatch):
    x = torch.zeros(1, dtype=F64)
    assert gram.why_not(60, 345, x) is None
    assert gram.why_not(60, 61, x) == "the rows are not sparse enough"
    assert gram.why_not(60, 345, x.half()) == "it computes on the CPU in float32 and float64"
    monkeypatch.setattr(extension, "module", None)
    monkeypatch.setattr(extension, "_ERROR", "gone")
    assert "the C++ extension is not installed (gone)" in gram.why_not(60, 345, x)
