"""Model files: a network as data, and back. No code is ever taken from a file.

A model file is a safetensors file. Its tensors are the network's state dict, and its metadata has one entry,
`edgewise`, which is JSON:

    {"version": 1, "dtype": "float64", "options": {"input_names": ["a", "b"], …}, "sha256": "…",
     "layers": [{"in_features": 2, "nodes": [1, 1], "blocks": [{"kind": "basis", …}, {"kind": "symbolic", …}]}, …]}

`sha256` is over this header (without itself) and all tensors, so a damaged file is refused and never half believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from edgewise.basis import basis_from_dict
from edgewise.errors import EdgewiseError, ModelFileError, OptionError
from edgewise.files import write_atomically
from edgewise.network import BasisBlock, Block, KANLayer, Network, Options, SymbolicBlock, check_names, edge_list
from edgewise.primitives import get_primitive

VERSION = 1
"""Of the format. A reader refuses higher ones."""

_KEY = "edgewise"
_FLOATS = {"float32": torch.float32, "float64": torch.float64}
_STORED = {"F32", "F64", "I64", "BOOL"}
_AFFINE = 4  # a, b, c and d of a symbolic edge

Header = dict[str, Any]
T = TypeVar("T", bound=Network)


def save_network(model: Network, path: str | PathLike[str]) -> None:
    """Write a network into one file, which holds either all of it or what it held before.

    Args:
        model: with a base function and primitives that a name stands for; a user's own callable is code, and files hold
            none.
        path: of the file, in an existing folder; by convention it ends in ".kan". An existing file is replaced.

    Raises:
        ModelFileError: the model cannot be written as data, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from edgewise.network import KANLayer, Network
        >>> model = Network([KANLayer(2, 1)], sample=torch.rand(8, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_network(model, f"{folder}/model.kan")
        ...     again = load_network(f"{folder}/model.kan", Network)
        >>> torch.equal(again(model.sample), model(model.sample))
        True
    """
    try:
        content = _encode(model)
    except (EdgewiseError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: this model cannot be written to a file: {error}") from error
    try:
        write_atomically(path, content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path}: the model file cannot be written: {reason}") from error


def load_network(path: str | PathLike[str], cls: type[T]) -> T:
    """Read a network that `save_network` has written.

    Args:
        path: of the file.
        cls: the class of the network to make, `Network` or one derived from it.

    Returns:
        The network, on the CPU; its outputs are those of the saved one bit for bit.

    Raises:
        ModelFileError: there is no such file, it is no model file, it is damaged or from a newer version, or it needs a
            basis or primitive that is not registered here.

    Example:
        >>> load_network("missing.kan", Network)
        Traceback (most recent call last):
        edgewise.errors.ModelFileError: missing.kan: there is no such file; check the path
    """
    content = _content(path)
    try:
        header, tensors = _decode(content)
        return _build(header, tensors, cls)
    except (EdgewiseError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from error


# -------------------------------------------------------------------------------------------- network to bytes


def _encode(model: Network) -> bytes:
    """The content of the file; what could not be read back is refused here, while the model still exists."""
    dtype = next((name for name, dtype in _FLOATS.items() if dtype == model.dtype), None)
    if dtype is None:
        raise OptionError(f"it computes in {model.dtype}; convert it with model.to(torch.float32) or torch.float64")
    layers = [
        {
            "in_features": layer.in_features,
            "nodes": list(layer.nodes),
            "blocks": [_described(block) for block in layer.all_blocks()],
        }
        for layer in model.all_layers
    ]
    options = {option.name: getattr(model.options, option.name) for option in fields(model.options)}
    header: Header = json.loads(json.dumps({"version": VERSION, "dtype": dtype, "options": options, "layers": layers}))
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    _build(header, tensors, Network)
    header["sha256"] = _digest(header, tensors)
    return safetensors.torch.save(tensors, metadata={_KEY: json.dumps(header)})


def _described(block: Block) -> Header:
    """The description of a block whose primitive is the one that its name will stand for on loading."""
    description = block.describe()
    if isinstance(block, SymbolicBlock):
        own, named = block.primitive, get_primitive(block.primitive.name)
        probe = torch.linspace(-2, 2, 9, dtype=torch.float64)
        if own != named or not torch.allclose(own.function(probe), named.function(probe), rtol=0, equal_nan=True):
            raise OptionError(
                f"its primitive {own.name!r} is another one than the one registered under this name; "
                "register yours under a name of its own with register_primitive"
            )
    return description


def _digest(header: Header, tensors: Mapping[str, Tensor]) -> str:
    """The checksum over everything that makes the network."""
    checksum = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        checksum.update(tensor.numpy().tobytes())
    return checksum.hexdigest()


# -------------------------------------------------------------------------------------------- bytes to network


def _content(path: str | PathLike[str]) -> bytes:
    """The bytes of a file, or one line saying why there are none."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            return Path(path).read_bytes()
        found = "a folder" if os.path.isdir(path) else "no ordinary file"
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ModelFileError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise ModelFileError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    raise ModelFileError(f"{path}: this is {found}, expected a model file")


def _decode(content: bytes) -> tuple[Header, dict[str, Tensor]]:
    """Header and tensors of a file that is whole."""
    table = _table(content)
    try:
        header = json.loads(table["__metadata__"][_KEY])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            "this is a safetensors file, but no Edgewise model; use one that model.save wrote"
        ) from error
    version = _entry(header, "version", int, "the header")
    if version > VERSION:
        raise ModelFileError(
            f"the file is of format version {version}, this Edgewise reads up to {VERSION}; install a newer Edgewise"
        )
    try:
        unknown = {entry["dtype"] for name, entry in table.items() if name != "__metadata__"} - _STORED
        tensors = {} if unknown else safetensors.torch.load(content)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ModelFileError(f"the file is damaged or cut off ({error}); save the model again") from error
    if unknown:
        raise ModelFileError(f"the file is damaged: it has tensors of the types {sorted(map(str, unknown))}")
    if header.pop("sha256", None) != _digest(header, tensors):
        raise ModelFileError("the file is damaged: its checksum does not fit its content; save the model again")
    return header, tensors


def _table(content: bytes) -> dict[str, Any]:
    """The table of contents at the start of every safetensors file: 8 bytes of length, then JSON."""
    size = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{":
        raise ModelFileError("this is no Edgewise model file; use one that model.save wrote")
    try:
        table = json.loads(content[8 : 8 + size].decode())
    except (ValueError, RecursionError) as error:
        raise ModelFileError("the file is damaged or cut off; save the model again") from error
    return table


@dataclass
class _Tensors:
    """The tensors of a file, to be taken one by one: whoever takes one says what it must be."""

    tensors: Mapping[str, Tensor]
    taken: set[str] = field(default_factory=set)

    def take(self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype) -> Tensor:
        """The tensor of this name, if it has this type and shape, in which None stands for any size."""
        if name not in self.tensors:
            raise ModelFileError(f"the header does not fit the tensors: there is no {name!r}")
        tensor = self.tensors[name]
        fits = len(tensor.shape) == len(shape) and all(
            wanted in {None, size} for wanted, size in zip(shape, tensor.shape, strict=True)
        )
        if not fits or tensor.dtype != dtype:
            wanted = f"({', '.join('any' if size is None else str(size) for size in shape)})"
            raise ModelFileError(
                f"the header does not fit the tensors: {name!r} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {dtype} {wanted}"
            )
        self.taken.add(name)
        return tensor


@dataclass(frozen=True)
class _Place:
    """Where a block stands: what it can take of the file's tensors, and the shape (I, S) of its layer."""

    tensors: _Tensors
    prefix: str
    edges: tuple[int, int]
    dtype: torch.dtype

    def take(self, name: str, *shape: int | None, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the block, of the network's floating type if no other is given."""
        return self.tensors.take(f"{self.prefix}.{name}", shape, dtype or self.dtype)


def _build(header: Header, tensors: Mapping[str, Tensor], cls: type[T]) -> T:
    """The network that a header and its tensors describe; an EdgewiseError if they do not fit each other."""
    stock = _Tensors(tensors)
    dtype = _FLOATS.get(_entry(header, "dtype", str, "the header"))
    if dtype is None:
        raise ModelFileError(f"unknown floating type {header['dtype']!r}; known: {', '.join(_FLOATS)}")
    layers = [
        _layer(_is(entry, dict, "a layer"), f"layers.{index}", stock, dtype)
        for index, entry in enumerate(_entry(header, "layers", list, "the header"))
    ]
    if not layers:
        raise ModelFileError("the header has no layers")
    options = _options(_entry(header, "options", dict, "the header"), layers[0].in_features, layers[-1].out_features)
    sample = stock.take("sample", (None, layers[0].in_features), dtype)
    extra = sorted(tensors.keys() - stock.taken)
    if extra:
        raise ModelFileError(f"the header does not fit the tensors: nothing takes {extra[0]!r} ({len(extra)} in all)")
    return cls.assemble(layers, sample=sample, options=options)


def _options(entries: Mapping[str, Any], inputs: int, outputs: int) -> Options:
    """The options of the network, names checked."""
    unknown = entries.keys() - {option.name for option in fields(Options)}
    if unknown:
        raise ModelFileError(f"unknown option {min(unknown)!r}")
    values = {name: _plain(value, name) for name, value in entries.items()}
    for name, count in (("input_names", inputs), ("output_names", outputs)):
        names = values.get(name)
        if names is not None and not (isinstance(names, tuple) and all(isinstance(each, str) for each in names)):
            raise ModelFileError(f"{name} is {names!r}, expected a list of names")
        values[name] = check_names(names, count, name.replace("_", " "))
    return Options(**values)


def _plain(value: Any, name: str) -> Any:
    """An option as the network holds it: lists are tuples there."""
    if isinstance(value, list):
        return tuple(_plain(each, name) for each in value)
    if isinstance(value, dict):
        raise ModelFileError(f"the option {name!r} is {value!r:.60}, expected a plain value")
    return value


def _layer(entry: Header, prefix: str, stock: _Tensors, dtype: torch.dtype) -> KANLayer:
    """One layer and its blocks, whose edges must be disjoint."""
    inputs = _entry(entry, "in_features", int, prefix)
    nodes = tuple(_entry(entry, "nodes", list, prefix))
    if inputs < 1 or not nodes or not all(type(arity) is int and arity >= 1 for arity in nodes):
        raise ModelFileError(f"{prefix} has {inputs} inputs and the nodes {nodes}, expected whole numbers of 1 or more")
    descriptions = _entry(entry, "blocks", list, prefix)
    if not descriptions:
        raise ModelFileError(f"{prefix} has no blocks")
    blocks, served = [], []
    for index, description in enumerate(descriptions):
        place = _Place(stock, f"{prefix}.blocks.{index}", (inputs, sum(nodes)), dtype)
        kind = _entry(_is(description, dict, place.prefix), "kind", str, place.prefix)
        if kind not in _KINDS:
            raise ModelFileError(f"{place.prefix} is of the unknown kind {kind!r}; known: {', '.join(_KINDS)}")
        block, source, target = _KINDS[kind](description, place)
        blocks.append(block)
        served.append(source * sum(nodes) + target)
    edges = torch.cat(served)
    if len(edges.unique()) < len(edges):
        raise ModelFileError(f"{prefix} has an edge twice")
    return KANLayer.from_blocks(blocks, nodes, inputs)


_Built = tuple[Block, Tensor, Tensor]


def _basis_block(description: Header, place: _Place) -> _Built:
    """A block of basis functions, and the inputs and subnodes of its edges."""
    options = _entry(description, "basis", dict, place.prefix)
    _entry(options, "family", str, f"the basis of {place.prefix}")
    basis = basis_from_dict(options)
    base = _is(description.get("base"), (str, type(None)), f"the base function of {place.prefix}")
    inputs, subnodes = place.edges
    grid = place.take("grid", inputs, None)
    if grid.shape[1] < len(("low", "high")):
        raise ModelFileError(f"the grid of {place.prefix} has no two ends")
    basis.breakpoints(grid)  # refuses a number of points that is not its own
    mask = place.take("_mask", *place.edges, dtype=torch.bool)
    block = BasisBlock(
        basis,
        grid,
        place.take("coefficients", inputs, basis.size, subnodes),
        base=base,
        base_weight=None if base is None else place.take("base_weight", *place.edges),
        mask=mask,
        locked=place.take("_locked", *place.edges, dtype=torch.bool),
    )
    return block, *edge_list(mask)


def _symbolic_block(description: Header, place: _Place) -> _Built:
    """A block of one primitive, and the inputs and subnodes of its edges."""
    primitive = get_primitive(_entry(description, "primitive", str, place.prefix))
    if description.get("shape") != list(place.edges):
        raise ModelFileError(f"{place.prefix} is of shape {description.get('shape')}, expected {list(place.edges)}")
    source = place.take("source", None, dtype=torch.int64)
    count = len(source)
    target = place.take("target", count, dtype=torch.int64)
    for indices, size in ((source, place.edges[0]), (target, place.edges[1])):
        if count and (int(indices.min()) < 0 or int(indices.max()) >= size):
            raise ModelFileError(f"{place.prefix} has an edge outside of its {place.edges[0]} × {place.edges[1]} layer")
    affine = place.take("affine", count, _AFFINE)
    locked = place.take("locked_edges", count, dtype=torch.bool)
    frozen = place.take("frozen", count, _AFFINE, dtype=torch.bool)
    block = SymbolicBlock(primitive, source, target, affine, shape=place.edges, locked=locked, frozen=frozen)
    return block, source, target


_KINDS: dict[str, Callable[[Header, _Place], _Built]] = {"basis": _basis_block, "symbolic": _symbolic_block}


def _entry(entries: Any, name: str, kind: type[Any] | tuple[type[Any], ...], where: str) -> Any:
    """An entry of a JSON object, of the expected kind."""
    return _is(_is(entries, dict, where).get(name), kind, f"{name!r} of {where}")


def _is(value: Any, kind: type[Any] | tuple[type[Any], ...], what: str) -> Any:
    """The value, if it is of the expected kind; true and false are no numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    expected = " or ".join("null" if each is type(None) else each.__name__ for each in kinds)
    raise ModelFileError(f"{what} is {value!r:.60}, expected {expected}")
