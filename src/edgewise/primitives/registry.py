"""Finding primitives by name, and adding one's own."""

import difflib

from edgewise.errors import OptionError
from edgewise.primitives.library import LIBRARY
from edgewise.primitives.primitive import Primitive

_primitives: dict[str, Primitive] = {}  # by name, in the order of registration
_names: dict[str, str] = {}  # from names and aliases to names


def primitives() -> tuple[Primitive, ...]:
    """All registered primitives.

    Returns:
        Those of the library, simplest first, then those that were registered, in their order.

    Example:
        >>> [primitive.name for primitive in primitives()[:3]]
        ['0', 'x', 'x^2']
    """
    return tuple(_primitives.values())


def get_primitive(name: str) -> Primitive:
    """The primitive that has this name or alias.

    Args:
        name: such as "sin", "1/x^2" or "x^0.5", which is another name of "sqrt".

    Returns:
        The registered record.

    Raises:
        OptionError: there is no primitive of this name.

    Example:
        >>> get_primitive("x^0.5").name
        'sqrt'
    """
    if name not in _names:
        closest = difflib.get_close_matches(str(name), _names, n=3, cutoff=0.4) or list(_primitives)[:3]
        raise OptionError(
            f"got the primitive {name!r}, which is not registered; the closest are {', '.join(map(repr, closest))} "
            "(primitives() lists them all, register_primitive adds one)"
        )
    return _primitives[_names[name]]


def register_primitive(primitive: Primitive) -> None:
    """Make a primitive known to `get_primitive`, `primitives` and every search that is not given a list of its own.

    It is known for as long as the process runs; a worker process has to register it again.

    Args:
        primitive: the record to add.

    Raises:
        OptionError: its name or one of its aliases is taken.

    Example:
        >>> from dataclasses import replace
        >>> register_primitive(replace(get_primitive("sin"), complexity=1))
        Traceback (most recent call last):
        edgewise.errors.OptionError: got a primitive named 'sin', a name that is taken; choose another
    """
    names = (primitive.name, *primitive.aliases)
    taken = [name for name in names if name in _names]
    if taken:
        raise OptionError(f"got a primitive named {taken[0]!r}, a name that is taken; choose another")
    _primitives[primitive.name] = primitive
    _names.update(dict.fromkeys(names, primitive.name))


for _primitive in LIBRARY:
    register_primitive(_primitive)
