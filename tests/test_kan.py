"""KAN: the user's class. What it is built from, and that its methods are the functions of the folders."""

import copy
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import edgewise
from edgewise import KAN, BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.data import create_dataset
from edgewise.errors import DomainError, EdgeError, ModelFileError, OptionError, PrecisionError, ShapeError
from edgewise.network import BasisBlock, SymbolicBlock

F64 = torch.float64


def product(x):
    return x[:, 0] * x[:, 1]


# ------------------------------------------------------------------------------------------------ structure


@pytest.mark.parametrize(
    ("width", "nodes", "normalised"),
    [
        ([2, 5, 1], [(1,) * 5, (1,)], [2, 5, 1]),
        ((3, 1), [(1,)], [3, 1]),
        ([2, [3, 2], 1], [(1, 1, 1, 2, 2), (1,)], [2, [3, (2, 2)], 1]),
        ([3, [3, (2, 3)], 1], [(1, 1, 1, 2, 3), (1,)], [3, [3, (2, 3)], 1]),
        ([2, [0, 1], 1], [(2,), (1,)], [2, [0, (2,)], 1]),
        ([4, [0, (4,)]], [(4,)], [4, [0, (4,)]]),
        ([1, [2, 0], [1, 1]], [(1, 1), (1, 2)], [1, 2, [1, (2,)]]),
        ([[2, 0], 1], None, None),
    ],
    ids=str,
)
def test_width_forms(width, nodes, normalised):
    if nodes is None:
        with pytest.raises(OptionError, match="first entry of a width is the number of inputs"):
            KAN(width)
        return
    model = KAN(width)
    assert [layer.nodes for layer in model.all_layers] == nodes
    assert model.width == normalised
    assert KAN(model.width).width == model.width
    assert model(torch.zeros(4, model.in_features, dtype=F64)).shape == (4, len(nodes[-1]))


@pytest.mark.parametrize(
    "width", [[], [2], "21", 3, [2.0, 1], ["2", 1], [0, 1], [2, 0], [2, -1, 1], [2, [1, 2, 3], 1], [2, [1, (0,)], 1]]
)
def test_widths_that_make_no_network_are_refused(width):
    with pytest.raises(OptionError):
        KAN(width)


def test_defaults():
    model = KAN([2, 3, 1])
    for layer in model.all_layers:
        (block,) = layer.all_blocks()
        assert isinstance(block, BasisBlock)
        assert block.basis == BSpline(grid=5, degree=3)
        assert block.base is None
        assert block.grid.tolist() == [[-1, 1]] * layer.in_features
        assert bool(layer.mask.all())
        assert not bool(layer.locked.any())
    assert model.dtype == F64
    assert model.sample.shape == (256, 2)
    assert -1 <= float(model.sample.min()) < -0.9 < 0.9 < float(model.sample.max()) <= 1
    assert (model.input_names, model.output_names) == (("x0", "x1"), ("y",))
    assert model.notes == ()
    assert model.moved is None


def test_one_basis_per_layer():
    bases = [Chebyshev(degree=8), BSpline(grid=3, degree=2), Fourier(terms=2), Gaussian(centers=4)]
    model = KAN([2, 2, 2, 2, 1], basis=bases)
    assert [layer.all_blocks()[0].basis for layer in model.all_layers] == bases
    same = KAN([2, 2, 1], basis=MexicanHat(scales=2))
    assert {layer.all_blocks()[0].basis for layer in same.all_layers} == {MexicanHat(scales=2)}
    with pytest.raises(OptionError, match="2 layers need one basis, or 2 of them, got 3"):
        KAN([2, 2, 1], basis=[BSpline()] * 3)
    with pytest.raises(OptionError, match="got 1"):
        KAN([2, 2, 1], basis=[BSpline()])


def test_domains():
    one = KAN([2, 2, 1], domain=(0, 4))
    assert one.all_layers[0].all_blocks()[0].grid.tolist() == [[0, 4], [0, 4]]
    each = KAN([2, 2, 1], domain=[(0, 2), (-3, -1)])
    assert each.all_layers[0].all_blocks()[0].grid.tolist() == [[0, 2], [-3, -1]]
    assert each.all_layers[1].all_blocks()[0].grid.tolist() == [[-1, 1], [-1, 1]]
    low, high = each.sample.amin(dim=0), each.sample.amax(dim=0)
    assert low.tolist() == pytest.approx([0, -3], abs=0.05)
    assert high.tolist() == pytest.approx([2, -1], abs=0.05)


@pytest.mark.parametrize("domain", [(1, 1), (2, -2), (0, float("inf")), (float("nan"), 1), [(0, 1)] * 3, [0, 1, 2]])
def test_domains_that_are_none_are_refused(domain):
    with pytest.raises(DomainError):
        KAN([2, 1], domain=domain)


def test_bases_of_the_edges():
    assert KAN([2, 1], base="silu").all_layers[0].all_blocks()[0].base_weight.shape == (2, 1)
    assert KAN([2, 1], base=torch.sin)(torch.zeros(1, 2, dtype=F64)).shape == (1, 1)
    with pytest.raises(OptionError, match="relu"):
        KAN([2, 1], base="relu")


def test_names():
    model = KAN([2, 2], input_names=["a", "b"], output_names=("u", "v"))
    assert (model.input_names, model.output_names) == (("a", "b"), ("u", "v"))
    assert KAN([1, 2]).output_names == ("y0", "y1")
    for wrong in (["a"], ["a", "b", "c"], ["a", "a"]):
        with pytest.raises(OptionError, match="2 inputs"):
            KAN([2, 1], input_names=wrong)
        with pytest.raises(OptionError, match="2 outputs"):
            KAN([1, 2], output_names=wrong)


# ------------------------------------------------------------------------------------------------ start


@pytest.mark.parametrize("width", [[2, 3, 1], [2, [1, 2], 1]], ids=str)
def test_a_seed_makes_the_start_reproducible_and_nothing_else_does(width):
    state = torch.get_rng_state()
    model = KAN(width, seed=7, base="silu")
    torch.manual_seed(1)
    again, other = KAN(width, seed=7, base="silu"), KAN(width, seed=8, base="silu")
    torch.set_rng_state(state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        if tensor.is_floating_point() and "grid" not in name:
            assert not torch.equal(tensor, other.state_dict()[name])
    assert torch.equal(KAN(width).sample, KAN(width, seed=0).sample)


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    model = KAN([2, 2, 1], seed=3)
    model.fit(create_dataset(product, n_var=2, train_num=50), steps=2)
    model.prune()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("inputs", [1, 5, 30])
def test_sums_start_about_their_grids_and_products_with_a_gradient(inputs):
    """Nothing is stuck at the start, whatever the number of inputs."""
    model = KAN([inputs, [3, 2], 2], seed=inputs)
    values = model.trace(model.sample).layers[0]
    assert float(values.outputs[:, :3].detach().abs().max()) < 1.5
    assert bool((values.sums.detach().std(dim=0) > 1e-2).all())
    (gradient,) = torch.autograd.grad(values.outputs[:, 3:].square().sum(), model.all_layers[0].blocks[0].coefficients)
    assert bool((gradient[:, :, 3:].abs().amax(dim=(0, 1)) > 1e-3).all())


# ------------------------------------------------------------------------------------------------ forward


def test_single_precision():
    model = KAN([2, 3, 1], dtype=torch.float32, seed=0)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    y = model(x)
    assert y.dtype == torch.float32
    double = copy.deepcopy(model).double()
    torch.testing.assert_close(double(x.double()), y.double(), rtol=0, atol=1e-5)
    with pytest.raises(PrecisionError, match=r"x\.to\(torch\.float32\)"):
        model(x.double())
    data = create_dataset(product, n_var=2, train_num=100)
    assert model.fit(data, steps=20).last["train_loss"] < 1e-3


def test_any_leading_shape_and_no_other_columns(uniform):
    model = KAN([3, 2, 2], seed=1)
    x = uniform(-1, 1, 2, 5, 3)
    torch.testing.assert_close(model(x).reshape(10, 2), model(x.reshape(10, 3)))
    assert model(x[0, 0]).shape == (2,)
    assert model(x[:, :0]).shape == (2, 0, 2)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\), got \(4, 2\)"):
        model(torch.zeros(4, 2, dtype=F64))
    with pytest.raises(PrecisionError):
        model([[0.0, 0.0, 0.0]])


# ------------------------------------------------------------------------------------------------ training


def test_a_product_node_multiplies_to_rounding():
    """Two factors have local minima, so the best of a few starts counts."""
    data = create_dataset(product, n_var=2, train_num=300, test_num=300, seed=0)
    errors = []
    for seed in range(4):
        model = KAN([2, [0, 1], 1], seed=seed)
        model.fit(data, steps=60)
        errors.append(float((model(data.test_input) - data.test_target).detach().square().mean().sqrt()))
        if errors[-1] < 1e-12:
            break
    assert min(errors) < 1e-12


def test_two_targets():
    data = create_dataset(
        lambda x: torch.stack([torch.sin(3 * x[:, 0]) + x[:, 1], x[:, 0] ** 2 - 2 * x[:, 1] ** 3], dim=1),
        n_var=2,
        train_num=200,
        seed=1,
    )
    model = KAN([2, 2], basis=BSpline(grid=20), seed=0)
    history = model.fit(data, steps=10)
    assert history.last["train_loss"] < 1e-8
    error = (model(data.test_input) - data.test_target).detach().square().mean(dim=0).sqrt()
    assert error.shape == (2,)
    assert float(error.max()) < 1e-3
    assert float(error[1]) < 1e-12  # splines hold polynomials exactly


def test_fit_takes_arrays_and_keeps_a_sample():
    x = np.random.default_rng(0).uniform(-1, 1, (1500, 2))
    model = KAN([2, 1], seed=0)
    model.fit(x, x[:, 0] + x[:, 1] ** 2, steps=3)
    assert model.sample.shape == (1024, 2)
    rows = {tuple(row) for row in x.tolist()}
    assert all(tuple(row) in rows for row in model.sample.tolist())


def test_moved_and_notes_are_those_of_the_last_change():
    data = create_dataset(lambda x: x[:, 0] ** 2, n_var=1, train_num=60)
    model = KAN([1, 1], seed=0)
    model.fit(data, steps=5)
    assert model.refine(grid=10).moved < 1e-14
    moved = KAN([1, 1], seed=0).refine(degree=4)
    assert moved.moved > 1e-6
    assert moved.lock(0, 0, 0).moved == moved.moved
    named = model.auto_symbolic(data, primitives=["x^2"])
    assert named.notes[0] == "edge (0, 0, 0): x^2"
    assert model.notes == ()


# ------------------------------------------------------------------------------------------------ methods


def test_methods_are_the_functions_of_the_folders():
    """Each returns a KAN, which has the same methods again."""
    model = KAN([2, [1, 1], 1], seed=4, input_names=["a", "b"])
    x = model.sample[:50]
    chain = (
        model.refine(grid=10)
        .refine(degree=4)
        .update_grid(x)
        .with_basis(0, 0, 1, Chebyshev(degree=6))
        .with_basis(1, BSpline(grid=4))
        .lock(0, 1, 0)
        .fix_symbolic(1, 0, 0, "tanh")
        .unfix_symbolic(1, 0, 0)
        .unlock(0, 1, 0)
        .prune(x, node_threshold=0, edge_threshold=0)
        .prune_inputs(x, threshold=0)
    )
    assert isinstance(chain, KAN)
    assert chain.input_names == ("a", "b")
    assert chain.width == model.width
    assert float((chain(x) - model(x)).detach().square().mean().sqrt()) < 0.2 * float(model(x).detach().std())
    assert isinstance(chain.suggest_symbolic(1, 1, 0, primitives=["x", "sin"]), list)
    assert chain.attribution(x).inputs.shape == (2,)
    assert chain.edge(0, 0, 1).index == (0, 0, 1)
    with pytest.raises(EdgeError):
        chain.edge(0, 0, 7)


def test_the_picture_has_a_box_for_every_edge():
    model = KAN([2, [1, 1], 2], seed=0, input_names=["mass", "size"], output_names=["u", "v"])
    model = model.fix_symbolic(0, 1, 0, "sin").lock(0, 0, 1).prune(edge_threshold=0.4, node_threshold=0)
    edges = sum(int(layer.mask.sum()) for layer in model.all_layers)
    assert edges < 10  # of the ten, some went
    figure = model.plot(title="all edges")
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    for part in ("boxes", "curves"):
        assert sum(len(c.get_paths()) for c in axes.collections if c.get_gid() == part) == edges
    texts = [text.get_text() for text in axes.texts]
    assert {"mass", "size", "u", "v", "all edges"} <= set(texts)
    named = [block for layer in model.all_layers for block in layer.all_blocks() if isinstance(block, SymbolicBlock)]
    assert texts.count("sin") == sum(len(block.source) for block in named)
    assert not plt.get_fignums()  # no global state


def test_the_picture_of_a_network_with_a_constant_input():
    """A sample without spread is drawn over the domain."""
    model = KAN([2, 1], seed=0)
    model.fit(torch.ones(20, 2, dtype=F64), torch.ones(20, dtype=F64), steps=1)
    figure = model.plot()
    boxes, curves = (
        [path for c in figure.axes[0].collections if c.get_gid() == part for path in c.get_paths()]
        for part in ("boxes", "curves")
    )
    assert len(boxes) == len(curves) == 2
    assert all(np.isfinite(curve.vertices).all() for curve in curves)


def test_files_bring_the_model_back(tmp_path, uniform):
    model = KAN([2, [1, 1], 1], base="silu", seed=2, input_names=["a", "b"], output_names=["z"])
    model = model.fix_symbolic(0, 0, 0, "sin").lock(0, 1, 1).refine(degree=4)
    path = tmp_path / "model.kan"
    model.save(path)
    loaded = edgewise.load(path)
    assert type(loaded) is KAN
    x = uniform(-1.2, 1.2, 20, 2)
    assert torch.equal(loaded(x), model(x))
    assert loaded.options == model.options
    assert torch.equal(loaded.all_layers[0].locked, model.all_layers[0].locked)
    assert loaded.width == model.width
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ModelFileError):
        edgewise.load(tmp_path / "none.kan")


def test_every_method_says_what_it_does():
    for name, method in inspect.getmembers(KAN):
        if not name.startswith("_") and name in vars(KAN):
            assert inspect.getdoc(method), name
