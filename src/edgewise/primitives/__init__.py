"""The symbolic functions of one variable that an edge can be given, one record each."""

from edgewise.primitives.library import LIBRARY
from edgewise.primitives.primitive import Primitive
from edgewise.primitives.redundancy import Affine, Redundancy, Turn
from edgewise.primitives.registry import get_primitive, primitives, register_primitive

__all__ = [
    "LIBRARY",
    "Affine",
    "Primitive",
    "Redundancy",
    "Turn",
    "get_primitive",
    "primitives",
    "register_primitive",
]
