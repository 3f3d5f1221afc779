"""The exceptions that Edgewise raises.

    EdgewiseError
    ├── ShapeError       (ValueError)  a tensor's shape does not fit the model or its partner
    ├── DomainError      (ValueError)  an interval, grid or range is empty, reversed or not finite
    ├── DataError        (ValueError)  a table or its values cannot be used
    ├── OptionError      (ValueError)  an option has an unknown name or an impossible value
    ├── PrecisionError   (TypeError)   a tensor has another floating type than the model
    ├── EdgeError        (IndexError)  there is no such layer, node or edge
    ├── SymbolicError    (ValueError)  an edge or network cannot be turned into a formula
    └── ModelFileError   (OSError)     a model file cannot be read or written

Each message says what was given, what was expected and what to do.
"""


class EdgewiseError(Exception):
    """The root of every exception that Edgewise raises on purpose."""


class ShapeError(EdgewiseError, ValueError):
    """A tensor's shape does not fit the model or its partner."""


class DomainError(EdgewiseError, ValueError):
    """An interval, grid or range is empty, reversed or not finite."""


class DataError(EdgewiseError, ValueError):
    """A table or its values cannot be used."""


class OptionError(EdgewiseError, ValueError):
    """An option has an unknown name or an impossible value."""


class PrecisionError(EdgewiseError, TypeError):
    """A tensor has another floating type than the model."""


class EdgeError(EdgewiseError, IndexError):
    """There is no such layer, node or edge."""


class SymbolicError(EdgewiseError, ValueError):
    """An edge or network cannot be turned into a formula."""


class ModelFileError(EdgewiseError, OSError):
    """A model file cannot be read or written."""
