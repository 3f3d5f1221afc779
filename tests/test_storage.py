import copy
import errno
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise import storage
from edgewise.basis import Basis, BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.errors import ModelFileError
from edgewise.files import write_atomically
from edgewise.network import BasisBlock, KANLayer, Network, Options, SymbolicBlock
from edgewise.primitives import get_primitive, primitives, registry
from edgewise.storage import load_network, save_network

BASES = (BSpline(4, 1), BSpline(5, 3), BSpline(3, 9), Chebyshev(6), Fourier(3), Gaussian(5), MexicanHat(3))
ODD_NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(["\ud800", "a\x00b", "$x_{1}$", '"]}', "метр", "[red]"])


class MyNetwork(Network):
    """A class with a constructor of its own, as KAN has."""

    def __init__(self):
        raise AssertionError("loading must not call this")


@st.composite
def blocks(draw, inputs, subnodes, dtype, generator):
    """Blocks that share the edges of a layer: each edge is in one of them or in none."""
    owner = torch.randint(0, 4, (inputs, subnodes), generator=generator)
    made = []
    for number in range(2):
        basis = draw(st.sampled_from(BASES))
        grid = torch.tensor([[-1.0, 1.0]], dtype=dtype).expand(inputs, 2)
        if isinstance(basis, BSpline) and draw(st.booleans()):
            steps = torch.rand((inputs, basis.grid + 1), generator=generator, dtype=dtype)
            grid = steps.cumsum(dim=1)
        made.append(
            BasisBlock(
                basis,
                grid,
                torch.randn((inputs, basis.size, subnodes), generator=generator, dtype=dtype),
                base=(base := draw(st.sampled_from([None, "silu", "identity"]))),
                base_weight=None if base is None else torch.randn((inputs, subnodes), generator=generator, dtype=dtype),
                mask=owner == number,
                locked=torch.rand((inputs, subnodes), generator=generator) < 0.3,
            )
        )
    source, target = torch.nonzero(owner == 2, as_tuple=True)
    affine = torch.randn((len(source), 4), generator=generator, dtype=dtype)
    primitive = draw(st.sampled_from(primitives()))
    locked = torch.rand(len(source), generator=generator) < 0.5
    frozen = torch.rand(affine.shape, generator=generator) < 0.5
    options = {"shape": (inputs, subnodes), "locked": locked, "frozen": frozen}
    return [*made, SymbolicBlock(primitive, source, target, affine, **options)]


@st.composite
def networks(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    inputs = draw(st.integers(1, 3))
    sample = torch.randn((draw(st.integers(0, 5)), inputs), generator=generator, dtype=dtype)
    first, layers = inputs, []
    for _ in range(draw(st.integers(1, 3))):
        nodes = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
        layers.append(KANLayer.from_blocks(draw(blocks(inputs, sum(nodes), dtype, generator)), nodes, inputs))
        inputs = len(nodes)
    names = st.none() | st.lists(ODD_NAMES, min_size=first, max_size=first, unique=True).map(tuple)
    outputs = st.none() | st.lists(ODD_NAMES, min_size=inputs, max_size=inputs, unique=True).map(tuple)
    notes = draw(st.lists(st.text(), max_size=2).map(tuple))
    moved = draw(st.none() | st.floats(0, 1))
    options = Options(input_names=draw(names), output_names=draw(outputs), notes=notes, moved=moved)
    return Network(layers, sample=sample, options=options)


def bits(tensor):
    """Integers that are equal only where the floats are, NaN and the sign of zero included."""
    integers = {torch.float64: torch.int64, torch.float32: torch.int32}
    return tensor.view(integers.get(tensor.dtype, tensor.dtype))


def description(model):
    return [(layer.nodes, [block.describe() for block in layer.all_blocks()]) for layer in model.all_layers]


def assert_same(model, other):
    mine, theirs = model.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(bits(tensor), bits(theirs[name])), name
    assert other.options == model.options
    assert other.width == model.width
    assert description(other) == description(model)
    scales = torch.arange(1, model.in_features + 1, dtype=model.dtype)
    x = torch.linspace(-3, 3, 17, dtype=model.dtype)[:, None] * scales
    assert torch.equal(bits(model(x)), bits(other(x)))


@settings(max_examples=60, deadline=None)
@given(networks())
def test_a_network_comes_back_bit_for_bit(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("models") / "model.kan"
    save_network(model, path)
    loaded = load_network(path, MyNetwork)
    assert type(loaded) is MyNetwork
    assert_same(model, loaded)
    content = path.read_bytes()
    save_network(loaded, path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def example():
    """A network with a block of each kind, and a product node."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    coefficients = torch.randn((2, 8, 3), generator=generator, dtype=torch.float64)
    ends = torch.tensor([[-1.0, 1.0]] * 2, dtype=torch.float64)
    numeric = BasisBlock(BSpline(), ends, coefficients, base="silu", mask=mask)
    affine = torch.randn((2, 4), generator=generator, dtype=torch.float64)
    source, target = torch.nonzero(~mask, as_tuple=True)
    named = SymbolicBlock("sin", source, target, affine, shape=(2, 3))
    last = KANLayer(2, 1, basis=Chebyshev(degree=4), base=None, dtype=torch.float64, seed=1)
    sample = torch.rand((4, 2), generator=generator, dtype=torch.float64)
    options = Options(input_names=("a", "b"), output_names=("c",))
    return Network([KANLayer.from_blocks([numeric, named], (1, 2), 2), last], sample=sample, options=options)


@pytest.fixture
def path(tmp_path):
    save_network(example(), tmp_path / "model.kan")
    return tmp_path / "model.kan"


def test_every_option_of_a_network_is_in_the_file(path):
    content = path.read_bytes()
    table = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header = json.loads(table["__metadata__"]["edgewise"])
    assert header["version"] == 1
    assert set(header["options"]) == set(Options.__dataclass_fields__)


def test_a_registered_primitive_and_basis_of_the_user_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_primitives", dict(registry._primitives))
    monkeypatch.setattr(registry, "_names", dict(registry._names))
    mine = replace(get_primitive("sin"), name="mine", aliases=())
    registry.register_primitive(mine)
    ends = torch.tensor([[0.0, 1.0]])
    blocks = [
        SymbolicBlock(mine, torch.tensor([0]), torch.tensor([0]), torch.ones(1, 4), shape=(1, 2)),
        BasisBlock(Odd(power=3), ends, torch.ones(1, 2, 2), mask=torch.tensor([[False, True]])),
    ]
    model = Network([KANLayer.from_blocks(blocks, (1, 1), 1)], sample=torch.zeros(1, 1))
    save_network(model, tmp_path / "model.kan")
    assert_same(model, load_network(tmp_path / "model.kan", Network))
    registry._names.pop("mine")
    refuses(tmp_path / "model.kan", "'mine', which is not registered")


@dataclass(frozen=True)
class Odd(Basis):
    """1 and a power."""

    power: int = 3

    size = 2

    def ones(self):
        return [1.0, 0.0]

    def values(self, x, grid, order=0):
        assert order == 0
        return torch.stack([torch.ones_like(x), x**self.power], dim=-1)


def test_models_on_their_way_to_a_file_are_not_changed(tmp_path):
    model, other = example(), example()
    save_network(model, tmp_path / "model.kan")
    assert_same(model, other)
    loaded = load_network(tmp_path / "model.kan", Network)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1)
    assert_same(model, other)
    assert_same(load_network(tmp_path / "model.kan", Network), other)


# ---------------------------------------------------------------------------------- what cannot be read


def refuses(path, message, cls=Network):
    with pytest.raises(ModelFileError, match=message) as caught:
        load_network(path, cls)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert isinstance(caught.value, OSError)


def test_a_path_without_a_model(tmp_path, path):
    refuses(tmp_path / "missing.kan", "there is no such file")
    refuses(path / "below.kan", "there is no such file")
    refuses(str(tmp_path / "nul\0.kan"), "there is no such file")
    refuses(tmp_path, "this is a folder")
    refuses("/dev/null", "no ordinary file")
    refuses(tmp_path / ("long" * 100), "the file cannot be read: File name too long")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"x,y\n1,2\n", b"\x00" * 100, bytes(range(256))])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    refuses(tmp_path / "other", "this is no Edgewise model file")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"edgewise": "no JSON"}, {"edgewise": "[" * 100_000}])
def test_a_safetensors_file_of_another_program(tmp_path, metadata):
    (tmp_path / "other").write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}, metadata=metadata))
    refuses(tmp_path / "other", "this is a safetensors file, but no Edgewise model")


def test_a_file_that_was_cut_off(path):
    content = path.read_bytes()
    for size in (12, 100, 2000, len(content) - 1):
        path.write_bytes(content[:size])
        refuses(path, "damaged or cut off")
    path.write_bytes(content + b"more")
    refuses(path, "damaged or cut off")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_as_it_was(tmp_path_factory, data):
    content = bytearray(_content())
    kind = data.draw(st.sampled_from(["flip", "truncate", "insert", "header"]))
    last = len(content) if kind != "header" else 3000
    place = data.draw(st.integers(0, last - 1))
    if kind == "truncate":
        del content[place:]
    elif kind == "insert":
        content[place:place] = data.draw(st.binary(min_size=1, max_size=4))
    else:
        for byte in data.draw(st.binary(min_size=1, max_size=3)):
            content[place % len(content)] ^= byte
            place += data.draw(st.integers(1, 50))
    path = tmp_path_factory.getbasetemp() / "damaged.kan"
    path.write_bytes(content)
    try:
        loaded = load_network(path, Network)
    except ModelFileError:
        return
    assert_same(example(), loaded)


_CONTENT: list[bytes] = []


def _content():
    if not _CONTENT:
        _CONTENT.append(storage._encode(example()))
    return _CONTENT[0]


@contextmanager
def forged(path):
    """The header and tensors of a file, to be changed; the checksum is made to fit."""
    header, tensors = storage._decode(path.read_bytes())
    yield header, tensors
    header["sha256"] = storage._digest(header, tensors)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"edgewise": json.dumps(header)}))


def test_a_file_of_a_newer_version(path):
    with forged(path) as (header, _):
        header["version"] = 2
    refuses(path, "format version 2, this Edgewise reads up to 1; install a newer Edgewise")


NUMERIC, NAMED = "layers.0.blocks.0", "layers.0.blocks.1"

FORGERIES = {
    "no version": (lambda h, t: h.pop("version"), "'version' of the header is None, expected int"),
    "version true": (lambda h, t: h.update(version=True), "'version' of the header is True"),
    "unknown dtype": (lambda h, t: h.update(dtype="float16"), "unknown floating type 'float16'"),
    "other dtype": (lambda h, t: h.update(dtype="float32"), "is torch.float64 .*, expected torch.float32"),
    "no layers": (lambda h, t: h.update(layers=[]), "no layers"),
    "layers no list": (lambda h, t: h.update(layers={"a": 1}), "'layers' of the header is {'a': 1}, expected list"),
    "layer no object": (lambda h, t: h.update(layers=[3]), "a layer is 3, expected dict"),
    "layer missing": (lambda h, t: h["layers"].pop(), "need as many different names"),
    "no blocks": (lambda h, t: h["layers"][0].update(blocks=[]), "layers.0 has no blocks"),
    "other width": (lambda h, t: h["layers"][0].update(nodes=[1, 1]), "expected .* any|expected torch.bool"),
    "zero arity": (lambda h, t: h["layers"][0].update(nodes=[3, 0]), "expected whole numbers of 1 or more"),
    "arity no number": (lambda h, t: h["layers"][0].update(nodes=["3"]), "expected whole numbers of 1 or more"),
    "layers that do not fit": (lambda h, t: h["layers"][0].update(nodes=[1, 1, 1]), "layer 0 has 3 outputs"),
    "other inputs": (lambda h, t: h["layers"][0].update(in_features=3), "expected"),
    "unknown kind": (lambda h, t: block(h, 0).update(kind="code"), "unknown kind 'code'; known: basis, symbolic"),
    "unknown basis": (lambda h, t: block(h, 0)["basis"].update(family="Bessel"), "unknown basis family 'Bessel'"),
    "basis no name": (lambda h, t: block(h, 0)["basis"].update(family=["x"]), "'family' of the basis of"),
    "unknown basis option": (lambda h, t: block(h, 0)["basis"].update(x=1), "does not take these options"),
    "impossible basis": (lambda h, t: block(h, 0)["basis"].update(degree=99), "degree is 1 to 9"),
    "basis option no number": (lambda h, t: block(h, 0)["basis"].update(grid="5"), "grid='5'"),
    "other basis": (lambda h, t: block(h, 0)["basis"].update(grid=6), "'layers.0.blocks.0.coefficients' is .*9"),
    "unknown base": (lambda h, t: block(h, 0).update(base="os.system"), "unknown base function 'os.system'"),
    "base no name": (lambda h, t: block(h, 0).update(base=[1]), "expected str or null"),
    "no base": (lambda h, t: block(h, 0).update(base=None), "nothing takes 'layers.0.blocks.0.base_weight'"),
    "base without weights": (lambda h, t: t.pop(f"{NUMERIC}.base_weight"), "there is no .*base_weight"),
    "unknown primitive": (lambda h, t: block(h, 1).update(primitive="eval"), "'eval', which is not registered"),
    "other shape": (lambda h, t: block(h, 1).update(shape=[2, 2]), r"of shape \[2, 2\], expected \[2, 3\]"),
    "source out of range": (lambda h, t: t[f"{NAMED}.source"].fill_(2), "an edge outside of its 2 × 3 layer"),
    "target out of range": (lambda h, t: t[f"{NAMED}.target"].fill_(-1), "an edge outside of its 2 × 3 layer"),
    "edge in two blocks": (lambda h, t: t[f"{NUMERIC}._mask"].fill_(True), "layers.0 has an edge twice"),
    "edge twice in one block": (
        lambda h, t: (t[f"{NAMED}.source"].fill_(0), t[f"{NAMED}.target"].fill_(1)),
        "layers.0 has an edge twice",
    ),
    "missing tensor": (lambda h, t: t.pop(f"{NAMED}.affine"), "there is no 'layers.0.blocks.1.affine'"),
    "no sample": (lambda h, t: t.pop("sample"), "there is no 'sample'"),
    "extra tensor": (lambda h, t: t.update(extra=torch.zeros(1)), "nothing takes 'extra'"),
    "other tensor": (
        lambda h, t: t.update(sample=torch.zeros(1, 3).double()),
        r"'sample' is .* expected .* \(any, 2\)",
    ),
    "mask of numbers": (lambda h, t: t.update({f"{NUMERIC}._mask": torch.zeros(2, 3).double()}), "expected torch.bool"),
    "grid without ends": (
        lambda h, t: t.update({f"{NUMERIC}.grid": torch.zeros(2, 1).double()}),
        "has no two ends",
    ),
    "grid of other length": (
        lambda h, t: t.update({f"{NUMERIC}.grid": torch.arange(8.0).reshape(2, 4).double()}),
        "needs a grid of 2 ends or 6 breakpoints",
    ),
    "names no list": (lambda h, t: h["options"].update(input_names="ab"), "input_names is 'ab', expected a list"),
    "names no text": (lambda h, t: h["options"].update(input_names=[1, 2]), "expected a list of names"),
    "too few names": (lambda h, t: h["options"].update(input_names=["a"]), "need as many different names"),
    "name twice": (lambda h, t: h["options"].update(input_names=["a", "a"]), "need as many different names"),
    "unknown option": (lambda h, t: h["options"].update(hook="os.system"), "unknown option 'hook'"),
    "option no value": (lambda h, t: h["options"].update(moved={"a": 1}), "expected a plain value"),
}


def block(header, index):
    return header["layers"][0]["blocks"][index]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_header_that_does_not_fit_the_tensors(path, forgery):
    change, message = FORGERIES[forgery]
    with forged(path) as (header, tensors):
        change(header, tensors)
    refuses(path, message)


ODD_VALUES = st.sampled_from([None, True, -1, 0, 2, 1.5, float("nan"), 10**30, "", "x", [], [1], [[]], {}, {"x": 1}])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_header_with_anything_in_it_is_refused_or_makes_a_network(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "forged.kan"
    path.write_bytes(_content())
    with forged(path) as (header, tensors):
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(tensors)))
            dtype = data.draw(st.sampled_from([torch.float64, torch.int64, torch.bool]))
            shape = data.draw(st.lists(st.integers(0, 9), max_size=3))
            tensors[name] = torch.full(shape, data.draw(st.integers(-1, 3)), dtype=dtype)
        else:
            entry = header
            while isinstance(entry, dict | list) and entry:
                holder = entry
                key = data.draw(st.sampled_from(sorted(entry) if isinstance(entry, dict) else range(len(entry))))
                entry = holder[key]
                if data.draw(st.integers(0, 3)) == 0:
                    break
            holder[key] = data.draw(ODD_VALUES)
    try:
        loaded = load_network(path, Network)
    except ModelFileError:
        return
    assert isinstance(loaded, Network)


def test_a_tensor_of_a_type_that_no_network_has(path):
    with forged(path) as (_, tensors):
        tensors["sample"] = tensors["sample"].to(torch.int8)
    refuses(path, r"tensors of the types \['I8'\]")


# ---------------------------------------------------------------------------------- what cannot be written


def small(**options):
    return Network([KANLayer(1, 1, seed=0, **options)], sample=torch.zeros(1, 1))


def cannot_be_saved(model, path, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        save_network(model, path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_models_that_hold_code_are_not_written(tmp_path):
    path = tmp_path / "model.kan"
    cannot_be_saved(small(base=torch.tanh), path, "callable base function cannot be saved")
    foreign = replace(get_primitive("sin"), name="foreign", aliases=())
    disguised = replace(get_primitive("sin"), function=torch.cos)
    for primitive, message in ((foreign, "'foreign', which is not registered"), (disguised, "another one than")):
        edge = SymbolicBlock(primitive, torch.tensor([0]), torch.tensor([0]), torch.ones(1, 4), shape=(1, 1))
        model = Network([KANLayer.from_blocks([edge], (1,), 1)], sample=torch.zeros(1, 1))
        cannot_be_saved(model, path, message)
    assert not list(tmp_path.iterdir())


def test_models_that_a_file_could_not_give_back_are_not_written(tmp_path):
    path = tmp_path / "model.kan"
    cannot_be_saved(small(dtype=torch.float64).half(), path, "computes in torch.float16; convert it")
    more = small()
    more.extra = torch.nn.Linear(1, 1)
    cannot_be_saved(more, path, "nothing takes 'extra.bias'")
    mixed = small(dtype=torch.float64)
    cannot_be_saved(mixed, path, "expected torch.float32")
    assert not list(tmp_path.iterdir())


def test_a_copied_network_keeps_its_primitives(tmp_path):
    save_network(copy.deepcopy(example()), tmp_path / "model.kan")
    assert_same(example(), load_network(tmp_path / "model.kan", Network))


def test_targets_that_cannot_be_written(tmp_path, path):
    model = example()
    cannot_be_saved(model, tmp_path / "missing" / "model.kan", "there is no such folder")
    cannot_be_saved(model, path / "model.kan", "there is no such folder")
    cannot_be_saved(model, tmp_path, "this is a folder")
    cannot_be_saved(model, "/dev/null", "no ordinary file")
    cannot_be_saved(model, tmp_path / ("long" * 100), "File name too long")
    cannot_be_saved(model, str(tmp_path / "nul\0.kan"), "null")
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_file_is_not_replaced(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    cannot_be_saved(small(), path, "this file is read-only")
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch, step, failure):
    before = path.read_bytes()

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, step, fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else ModelFileError
    with pytest.raises(expected, match=r"No space left on device|^$"):
        save_network(small(), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource", reason="POSIX only: limits the size of files")
    signal = pytest.importorskip("signal")
    path = tmp_path / "model.kan"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        cannot_be_saved(example(), path, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_ordinary_permissions_and_a_replaced_one_keeps_its_own(tmp_path):
    path = tmp_path / "notes.txt"
    mask = os.umask(0o022)
    try:
        write_atomically(path, b"1")
        assert path.stat().st_mode & 0o777 == 0o644
        path.chmod(0o600)
        write_atomically(path, b"2")
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"2"


def test_a_link_stays_one(tmp_path):
    path, link = tmp_path / "notes.txt", tmp_path / "link.txt"
    link.symlink_to(path)
    write_atomically(link, b"1")
    write_atomically(link, b"2")
    assert link.is_symlink()
    assert path.read_bytes() == b"2"
