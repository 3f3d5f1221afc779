"""The index of the package: complete, in order, documented, and quick to import."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import edgewise

SOURCE = Path(edgewise.__file__)
TREE = ast.parse(SOURCE.read_text(encoding="utf-8"))
HEAVY = ("torch", "matplotlib", "sympy", "sklearn", "numpy", "narwhals", "click", "rich", "pandas")
# What docs/ and the command line are written against.
PROMISED = {
    "KAN", "KANLayer", "KANRegressor", "BSpline", "Chebyshev", "Fourier", "Gaussian", "MexicanHat", "create_dataset",
    "read_table", "fit", "History", "LevenbergMarquardt", "LBFGS", "Adam", "Sparsity", "Smoothness", "discover", "load",
    "EdgewiseError", "ShapeError", "DomainError", "DataError", "OptionError", "PrecisionError", "EdgeError",
    "SymbolicError", "ModelFileError",
}  # fmt: skip


def isort_style(name):
    """Constants, then classes, then functions, each by name: ruff's order of `__all__`."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def run(code):
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.split()


def type_checking_names():
    """Names that the `if TYPE_CHECKING` block imports, with the module that each comes from."""
    (block,) = [
        node for node in TREE.body if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
    ]
    found = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            assert alias.asname is None
            assert alias.name not in found
            found[alias.name] = statement.module
    return found


def test_the_list_is_in_order_and_has_no_name_twice():
    assert list(edgewise.__all__) == sorted(set(edgewise.__all__), key=isort_style)


def test_the_list_has_what_is_promised():
    assert set(edgewise.__all__) >= PROMISED


def test_every_name_has_a_home_and_every_home_a_name():
    assert set(edgewise._HOMES) == set(edgewise.__all__)


def test_type_checkers_see_the_same_names_at_the_same_homes():
    """A home may stand for its folder: edgewise.errors, or edgewise.basis for edgewise.basis.bspline."""
    seen = type_checking_names()
    assert set(seen) == set(edgewise.__all__)
    assert seen == {name: f"edgewise.{home}" for name, home in edgewise._HOMES.items()}


@pytest.mark.parametrize("name", edgewise.__all__)
def test_every_name_resolves_and_is_documented(name):
    value = getattr(edgewise, name)
    home = importlib.import_module(f"edgewise.{edgewise._HOMES[name]}")
    assert value is getattr(home, name)
    assert name in getattr(home, "__all__", [name])
    assert value.__module__.startswith("edgewise.")
    assert inspect.isclass(value) or inspect.isfunction(value)
    documentation = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    assert documentation
    assert documentation.strip().splitlines()[0].rstrip().endswith((".", ":"))
    if inspect.isclass(value):
        for member, function in vars(value).items():
            if inspect.isfunction(function) and not member.startswith("_"):
                assert inspect.getdoc(function) or inspect.getdoc(getattr(value, member)), f"{name}.{member}"
    else:
        assert "Args:" in documentation or not inspect.signature(value).parameters
        assert set(inspect.signature(value).parameters) <= set(
            documentation.replace(":", " ").replace("(", " ").split()
        )


def test_errors_are_a_tree_with_built_in_roots():
    errors = {name: getattr(edgewise, name) for name in edgewise.__all__ if name.endswith("Error")}
    assert len(errors) == 9
    for name, error in errors.items():
        assert issubclass(error, edgewise.EdgewiseError)
        if name != "EdgewiseError":
            assert issubclass(error, ValueError | TypeError | IndexError | OSError)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'edgewise' has no attribute 'Kan'"):
        _ = edgewise.Kan
    assert not hasattr(edgewise, "HOMES")


def test_dir_is_the_list():
    assert set(dir(edgewise)) >= {*edgewise.__all__, "__version__"}
    assert edgewise.__version__.count(".") == 2


def test_star_imports_bring_all_names():
    namespace = {}
    exec("from edgewise import *", namespace)
    assert set(edgewise.__all__) <= set(namespace)


def test_importing_loads_nothing_heavy():
    loaded = run("import edgewise, sys; print(*(m for m in sys.modules))")
    assert "edgewise" in loaded
    assert not {module.partition(".")[0] for module in loaded} & set(HEAVY)


def test_pictures_and_symbols_are_loaded_when_they_are_needed():
    code = (
        "import sys, torch, edgewise; model = edgewise.KAN([2, 1]); model(torch.zeros(1, 2, dtype=torch.float64));"
        "print(*(name for name in ('sympy', 'matplotlib') if name in sys.modules))"
    )
    assert run(code) == []
