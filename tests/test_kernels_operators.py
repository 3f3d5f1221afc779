"""The contractions as operators of `torch.library`, which the compiler sees, against the functions used eagerly."""

import pytest
import torch
from torch.func import vmap

from edgewise.basis import BSpline, Chebyshev
from edgewise.kernels import dispatch, functions, operators
from edgewise.kernels.reference import ReferenceBackend
from edgewise.network import KANLayer, Network

F64 = torch.float64
ENDS = torch.tensor([[-1.0, 1.0], [0.0, 2.0]], dtype=F64)
NAMES = ["apply", "pullback", "coefficient_gradient"]
BASES = [BSpline(3, 3), Chebyshev(4)]


@pytest.fixture
def arguments(normal, uniform):
    """The three tensors that an operation takes, and the rest."""

    def make(name, basis, weighted=True):
        x, c = uniform(-1.5, 2.5, 5, 2), normal(2, basis.size, 3)
        v, g = (normal(5, 2) if weighted else None), normal(5, 3)
        return {"apply": [x, c, v], "pullback": [x, c, g], "coefficient_gradient": [x, g, v]}[name]

    return make


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [True, False])
def test_operators_keep_the_contract_of_torch(name, weighted, arguments):
    basis = BASES[0]
    tensors = [None if t is None else t.requires_grad_() for t in arguments(name, basis, weighted)]
    operator = getattr(torch.ops.edgewise, name).default
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operator, (*tensors, ENDS, basis.key, None, 1), test_utils=tests)


def test_an_operator_can_be_traced_ahead_of_time(arguments):
    # The slowest of torch's checks; the three operators share the rules that it exercises.
    x, c, v = (tensor.requires_grad_() for tensor in arguments("apply", BASES[0]))
    torch.library.opcheck(
        torch.ops.edgewise.apply.default,
        (x, c, v, ENDS, BASES[0].key, None, 0),
        test_utils=("test_aot_dispatch_dynamic",),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("basis", BASES, ids=str)
def test_operators_and_functions_have_the_same_values_and_gradients(name, weighted, basis, arguments):
    tensors = [None if t is None else t.requires_grad_() for t in arguments(name, basis, weighted)]
    leaves = [tensor for tensor in tensors if tensor is not None]
    results = []
    for contractions, family in ((functions.CONTRACTIONS, basis), (operators.CONTRACTIONS, basis.key)):
        value = getattr(contractions, name)(*tensors, ENDS, family, None, 1)
        first = torch.autograd.grad(value.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), leaves)
        results.append((value, first, second))
    torch.testing.assert_close(*results)
    assert all(gradient.abs().sum() > 0 for gradient in results[0][2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mapped", [(0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0)])
def test_operators_and_functions_are_mapped_alike(name, mapped, arguments):
    basis = BASES[0]
    stacks = [arguments(name, basis) for _ in range(4)]
    given = [
        torch.stack([stack[position] for stack in stacks]) if dim == 0 else stacks[0][position]
        for position, dim in enumerate(mapped)
    ]

    def run(contractions, family):
        operation = getattr(contractions, name)
        return vmap(lambda *tensors: operation(*tensors, ENDS, family, None, 1), in_dims=mapped)(*given)

    torch.testing.assert_close(run(operators.CONTRACTIONS, basis.key), run(functions.CONTRACTIONS, basis))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("outer", "inner"), [((0, None, None), (None, None, 0)), ((None, 0, None), (0, None, 0))])
def test_nested_maps_of_operators(name, outer, inner, arguments):
    basis = BASES[0]
    stacks = [arguments(name, basis) for _ in range(3)]
    depth = [[o, i].count(0) for o, i in zip(outer, inner, strict=True)]
    given = [
        torch.stack([stack[position] for stack in stacks]) if deep else stacks[0][position]
        for position, deep in enumerate(depth)
    ]

    def run(contractions, family):
        operation = getattr(contractions, name)
        inside = vmap(lambda *tensors: operation(*tensors, ENDS, family, None, 0), in_dims=inner)
        return vmap(inside, in_dims=outer)(*given)

    torch.testing.assert_close(run(operators.CONTRACTIONS, basis.key), run(functions.CONTRACTIONS, basis))


class Counting(ReferenceBackend):
    """Counts its calls."""

    calls = 0

    def apply(self, *arguments):
        self.calls += 1
        return super().apply(*arguments)


def test_a_mapped_operator_is_one_call(arguments, monkeypatch):
    backend = Counting()
    monkeypatch.setattr(dispatch, "BACKENDS", (backend,))
    x, c, _ = arguments("apply", BASES[0])
    vmap(lambda rows: operators.CONTRACTIONS.apply(rows, c, None, ENDS, BASES[0].key, None, 0))(x.expand(6, 5, 2))
    assert backend.calls == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # from the compiler's own imports
def test_a_compiled_network_equals_the_eager_one(uniform):
    # Compiling takes long, so everything is in one graph: a base function, masked and locked edges, product nodes.
    first = KANLayer(3, 3, basis=BSpline(grid=4, degree=2), nodes=(1, 1, 2), dtype=F64, seed=0)
    block = first.all_blocks()[0]
    keep, locked = torch.ones(3, 4, dtype=torch.bool), torch.zeros(3, 4, dtype=torch.bool)
    keep[0, 0], locked[1, 1] = False, True
    first = KANLayer.from_blocks([block.restricted(keep).with_locked(locked)], first.nodes, 3)
    second = KANLayer(3, 1, basis=Chebyshev(degree=3), base=None, dtype=F64, seed=1)
    model = Network([first, second], sample=torch.zeros(1, 3, dtype=F64))
    x = uniform(-1.5, 1.5, 6, 3).requires_grad_()
    leaves = [x, *model.parameters()]
    compiled = torch.compile(model, fullgraph=True)
    results = []
    for run in (model, compiled):
        y = run(x)
        results.append((y, torch.autograd.grad(y.square().sum(), leaves)))
    torch.testing.assert_close(*results)
