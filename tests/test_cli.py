"""The `edgewise` command: what it prints and writes, and one line for every bad input."""

import csv
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import sympy
import torch
from click.testing import CliRunner

import edgewise
from edgewise import datasets
from edgewise.cli import main
from edgewise.cli.outputs import check_folder, staged
from edgewise.cli.parameters import BasisType, NamesType, WidthType
from edgewise.cli.report import scores
from edgewise.errors import ModelFileError, SymbolicError
from edgewise.expressions import as_latex, as_text, latex_name
from edgewise.kan import KAN
from edgewise.kernels import dispatch, extension
from edgewise.network import KANLayer, Options, SymbolicBlock

COMMANDS = ("demo", "fit", "discover", "formula", "plot", "info")
ROOT = Path(__file__).parent.parent


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def refused(*arguments, code=1):
    """The one line that a command leaves with."""
    result = run(*arguments, code=code)
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert result.stdout == ""
    return line


def in_a_process(*arguments, **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "edgewise.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)


def listed(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    """Nothing may be written where the tests are started."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def table(tmp_path):
    """A product of two columns, with words, a constant and an empty column beside them."""
    lines = ["a,b,kind,one,nothing,y"]
    for i in range(1, 31):
        a, b = 1 + i / 7, 2 - i / 31
        lines.append(f"{a},{b},k{i},1,,{a * b}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def symbolic_model(**names):
    """2·sin(x0) + 0.1234567·x1²."""
    blocks = [
        SymbolicBlock(
            name, torch.tensor([i]), torch.tensor([0]), torch.tensor([affine], dtype=torch.float64), shape=(2, 1)
        )
        for i, (name, affine) in enumerate([("sin", [1.0, 0.0, 2.0, 0.0]), ("x^2", [1.0, 0.0, 0.1234567, 0.0])])
    ]
    sample = torch.linspace(-1, 1, 20).reshape(10, 2).double()
    return KAN.assemble([KANLayer.from_blocks(blocks, (1,), 2)], sample=sample, options=Options(**names))


@pytest.fixture
def model_file(tmp_path):
    symbolic_model(input_names=("a", "mass (kg)"), output_names=("out_y",)).save(tmp_path / "model.kan")
    return tmp_path / "model.kan"


# ---------------------------------------------------------------------------------- help and info


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_an_example(command):
    text = run(command, "--help").stdout
    assert "Example" in text
    assert f"  edgewise {command}" in text
    assert run(command, "-h").stdout == text


def test_the_command_alone_shows_its_help():
    text = run().stdout
    assert text == run("--help").stdout
    assert all(f"  {command} " in text for command in COMMANDS)
    assert run("--version").stdout == f"edgewise, version {edgewise.__version__}\n"


def test_help_and_misuse_are_answered_without_loading_torch():
    program = (
        "import sys\nfrom edgewise.cli import main\n"
        "for arguments in (['--help'], ['fit', '--help'], ['fit', '--wrong'], ['fit', 'x.csv']):\n"
        "    try:\n        main(arguments)\n"
        "    except SystemExit:\n        pass\n"
        "assert not {'torch', 'sympy', 'matplotlib', 'numpy'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_info_says_what_runs():
    text = run("info").stdout
    for word in (f"edgewise +{edgewise.__version__}", f"torch +{re.escape(torch.__version__)}", "sympy", "device +cpu"):
        assert re.search(word, text)
    assert re.search(r"kernels on cpu +\w+: in use", text)


def test_info_says_what_the_extension_was_built_for(monkeypatch):
    monkeypatch.setattr(extension, "module", FakeExtension)
    assert "for AVX2, SSE2; the first is in use" in run("info").stdout


def test_info_says_that_there_is_no_extension(monkeypatch):
    monkeypatch.setattr(extension, "module", None)
    text = " ".join(run("info").stdout.split())
    assert "the C++ extension is not installed" in text
    assert "reference: in use" in text


class FakeExtension:
    @staticmethod
    def in_use():
        return "AVX2"

    @staticmethod
    def instruction_sets():
        return ["SSE2", "AVX2"]


def test_info_says_why_a_backend_does_not_run(monkeypatch):
    class Fast:
        name = "fast"

        def why_not(self, basis, order, tensors):
            return "it is not compiled; run make build"

    monkeypatch.setattr(dispatch, "BACKENDS", (Fast(), *dispatch.BACKENDS))
    assert "fast: it is not compiled; run make build" in run("info").stdout


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("command", ["fit", "discover"])
class TestBadInput:
    def test_missing_file(self, command, tmp_path):
        assert "there is no such file" in refused(command, tmp_path / "missing.csv", "--target", "y")

    def test_missing_target(self, command, table):
        assert "did you mean 'y'" in refused(command, table, "--target", "Y")
        assert "Missing option '--target'" in refused(command, table, code=2)

    def test_text_among_numbers(self, command, table):
        rows = table.read_text().splitlines()
        rows[5] = rows[5].replace(rows[5].split(",")[0], "three")
        table.write_text("\n".join(rows))
        line = refused(command, table, "--target", "y")
        assert "row 6, column 'a'" in line
        assert "'three'" in line

    def test_not_a_number(self, command, table):
        rows = table.read_text().splitlines()
        rows[3] = rows[3].rsplit(",", 1)[0] + ",nan"
        table.write_text("\n".join(rows))
        assert "row 4, column 'y': found nan" in refused(command, table, "--target", "y").replace(
            "non-finite value ", ""
        )

    def test_constant_target(self, command, table):
        assert "the target 'one' is 1 in every row" in refused(command, table, "--target", "one")

    def test_constant_columns_only(self, command, table):
        line = refused(command, table, "--target", "y", "--inputs", "one")
        assert "no column of numbers to predict from" in line
        assert "it is 1 in every row" in line

    def test_one_row(self, command, tmp_path):
        (tmp_path / "one.csv").write_text("x,y\n1,2\n")
        assert "there are 1 rows" in refused(command, tmp_path / "one.csv", "--target", "y")

    def test_unknown_option(self, command, table):
        line = refused(command, table, "--target", "y", "--wrong", code=2)
        assert "--wrong" in line
        assert line.endswith(f"(see main {command} --help)")

    def test_target_among_the_inputs(self, command, table):
        assert "both target and input" in refused(command, table, "--target", "y", "--inputs", "a,y")

    def test_target_under_another_name(self, command, table):
        rows = table.read_text().splitlines()
        table.write_text("\n".join([rows[0] + ",z", *(f"{row},{row.rsplit(',', 1)[1]}" for row in rows[1:])]))
        assert "equals the target" in refused(command, table, "--target", "y")

    def test_unwritable_output(self, command, table, monkeypatch):
        monkeypatch.setattr(edgewise, "read_table", None)  # known before the table is read
        line = refused(command, table, "--target", "y", "--out", table / "run")
        assert "nothing can be written here" in line or "no folder" in line
        assert "this is no folder" in refused(command, table, "--target", "y", "--out", table)
        assert "--out is empty" in refused(command, table, "--target", "y", "--out", "")
        assert str(table / "run") not in listed(table.parent)

    def test_unknown_input(self, command, table):
        assert "no column 'c' for inputs" in refused(command, table, "--target", "y", "--inputs", "a,c")

    def test_numbers_out_of_range(self, command, table):
        for option, value in (
            ("--max-time", "0"),
            ("--max-time", "nan"),
            ("--test-fraction", "1"),
            ("--seed", "-1"),
            ("--seed", "x"),
            ("--inputs", "a,,b"),
        ):
            assert f"'{option}'" in refused(command, table, "--target", "y", option, value, code=2)
        assert "test_fraction is nan" in refused(command, table, "--target", "y", "--test-fraction", "nan")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--basis", "spline", "unknown basis 'spline'; known: bspline, chebyshev"),
        ("--basis", "bspline:0", "needs a grid of 1 or more intervals"),
        ("--basis", "bspline:1:2:3", "does not read as bspline:grid:degree"),
        ("--basis", "fourier:many", "does not read as fourier:terms"),
        ("--width", "5,x", "no width"),
        ("--width", "1+2+3", "no width"),
        ("--width", "0,1", "a layer without nodes"),
        ("--width", "5,2", "the last layer has 2 nodes; it needs one for each of 1 targets"),
    ],
)
def test_impossible_networks(table, option, value, message):
    assert message in refused("fit", table, "--target", "y", option, value, code=2)


@pytest.mark.parametrize("command", ["plot", "formula"])
def test_a_run_without_a_model(command, tmp_path, model_file):
    (tmp_path / "run").mkdir()
    assert "there is no model.kan in this folder" in refused(command, tmp_path / "run")
    assert "there is no such file" in refused(command, tmp_path / "missing")
    content = model_file.read_bytes()
    model_file.write_bytes(content[:-10])
    assert "damaged" in refused(command, model_file)
    assert "damaged" in refused(command, tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    assert "no Edgewise model file" in refused(command, tmp_path / "notes.txt")
    assert listed(".") == []


def test_unknown_commands():
    assert "No such command 'fot'" in refused("fot", code=2)
    assert "Missing argument 'TABLE'" in refused("fit", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "missing.csv", "--target", "y"], 1, "missing.csv: there is no such file"),
        (["fit", "data.csv", "--wrong"], 2, "--wrong"),
        (["plot", "missing.kan"], 1, "missing.kan: there is no such file"),
        (["demo", "--out", "/dev/null/demo"], 1, "/dev/null/demo: nothing can be written here"),
    ],
)
def test_a_real_process_leaves_with_one_line(arguments, code, message):
    done = in_a_process(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_characters_that_the_terminal_does_not_have():
    program = (
        "from edgewise.cli import info, main\n"
        "import sys; sys.modules['edgewise.cli.info'].versions = lambda: {'длина': '1'}\n"
        "main(['info'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\u0434\\u043b" in done.stdout


def test_an_interrupted_command(table, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(edgewise, "read_table", interrupted)
    result = run("fit", table, "--target", "y", code=130)
    assert result.stderr.splitlines()[-1] == "error: interrupted"


def test_errors_pass_through_where_the_caller_wants_them(tmp_path):
    with pytest.raises(ModelFileError):
        main(["plot", str(tmp_path)], standalone_mode=False)


# ---------------------------------------------------------------------------------- options


def test_lists_of_names():
    convert = NamesType().convert
    assert convert("a, b", None, None) == ("a", "b")
    assert convert('"length, m",b', None, None) == ("length, m", "b")


def test_widths():
    convert = WidthType().convert
    assert convert("5,1", None, None) == (5, 1)
    assert convert("3+2, 0+1", None, None) == ([3, 2], [0, 1])


def test_bases():
    convert = BasisType().convert
    assert convert("bspline:10:2", None, None) == edgewise.BSpline(10, 2)
    assert convert("BSpline", None, None) == edgewise.BSpline()
    assert convert("chebyshev:7", None, None) == edgewise.Chebyshev(7)
    assert convert("fourier:2", None, None) == edgewise.Fourier(2)
    assert convert("gaussian:4", None, None) == edgewise.Gaussian(4)
    assert convert("mexicanhat:2", None, None) == edgewise.MexicanHat(2)


# ---------------------------------------------------------------------------------- plot and formula


@pytest.mark.parametrize(("name", "start"), [("net.svg", b"<?xml"), ("net.png", b"\x89PNG"), ("net.pdf", b"%PDF")])
def test_plot_writes_the_kind_that_the_name_ends_in(model_file, name, start):
    assert run("plot", model_file, "-o", name).stdout == f"written: {name}\n"
    assert Path(name).read_bytes().startswith(start)
    first = Path(name).read_bytes()
    run("plot", model_file.parent, "--output", name)  # a folder that has a model.kan
    assert Path(name).read_bytes() == first
    assert listed(".") == [name]


def test_plot_refuses_what_it_cannot_write(model_file, tmp_path):
    assert "this is a folder" in refused("plot", model_file, "-o", tmp_path)
    assert "there is no such folder" in refused("plot", model_file, "-o", "missing/net.svg")
    assert "the name ends in no kind of picture; known: " in refused("plot", model_file, "-o", "net.doc")
    assert "the name ends in no kind of picture; known: " in refused("plot", model_file, "-o", "net")
    assert listed(".") == []


def test_formula(model_file, tmp_path):
    assert run("formula", model_file).stdout == "out_y = 0.1234567*`mass (kg)`**2 + 2*sin(a)\n"
    assert run("formula", tmp_path, "--digits", "3").stdout == "out_y = 0.123*`mass (kg)`**2 + 2*sin(a)\n"
    latex = run("formula", model_file, "--latex").stdout
    assert latex == "\\mathrm{out\\_y} = 0.1234567 \\mathrm{mass\\ (kg)}^{2} + 2 \\sin{\\left(a \\right)}\n"


def test_formula_of_a_network_that_has_none(tmp_path):
    KAN([1, 1], seed=0).save(tmp_path / "model.kan")
    line = refused("formula", tmp_path)
    with pytest.raises(SymbolicError) as caught:
        KAN([1, 1], seed=0).symbolic_formula()
    assert line == f"error: {caught.value}"


def test_formulas_of_several_outputs(tmp_path):
    block = SymbolicBlock(
        "x", torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([[1, 0, 2, 0], [1, 0, 3, 1.0]]), shape=(1, 2)
    )
    layers = [KANLayer.from_blocks([block], (1, 1), 1)]
    KAN.assemble(layers, sample=torch.ones(3, 1), options=Options()).save(tmp_path / "two.kan")
    assert run("formula", tmp_path / "two.kan").stdout == "y0 = 2*x0\ny1 = 3*x0 + 1\n"


def test_constants_are_written_as_short_as_they_can_be():
    t = sympy.Symbol("t")
    for number in (0.1, 1 / 3, 1e-300, 6.02214076e23, 2.0**0.5, -0.5):
        text = as_text("y", sympy.Float(number) * t)
        assert float(sympy.sympify(text.removeprefix("y = ")).subs(t, 1)) == number
        assert len(text) <= len(f"y = {number!r}*t") + 2
    assert as_text("y", sympy.Float(0.1)) == "y = 0.1"
    assert as_text("y", sympy.Float(1 / 3) * t, 4) == "y = 0.3333*t"
    assert as_text("y", t ** sympy.Rational(3, 2)) == "y = t**(3/2)"


def test_names_with_odd_characters_in_formulas():
    swapped = sympy.Symbol("a b") - sympy.Symbol("`a b`")
    assert as_text("x\ny", swapped) == "`x y` = -``a b`` + `a b`"
    assert latex_name("50%_{of}$x^2\\") == r"\mathrm{50\%\_\{of\}\$x\wedge{}2\backslash{}}"
    assert as_latex("x_1", sympy.Symbol("T") ** 2) == "x_{1} = T^{2}"


# ---------------------------------------------------------------------------------- output folders


def test_a_folder_is_filled_at_the_end(tmp_path):
    folder = tmp_path / "new" / "run"
    check_folder(str(folder), ["a.txt"])
    assert not folder.parent.exists()
    with staged(str(folder)) as stage:
        (stage / "a.txt").write_text("1")
        assert not (folder / "a.txt").exists()
    assert listed(folder) == ["a.txt"]
    with staged(str(folder)) as stage:
        (stage / "a.txt").write_text("2")
        (stage / "b.txt").write_text("2")
    assert listed(folder) == ["a.txt", "b.txt"]
    assert (folder / "a.txt").read_text() == "2"


def fail_half_way(folder, failure):
    with staged(str(folder)) as stage:
        (stage / "a.txt").write_text("half")
        raise failure(stage)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_a_folder_is_as_it_was_where_writing_failed(tmp_path, failure):
    new, old = tmp_path / "new" / "run", tmp_path / "old"
    old.mkdir()
    (old / "a.txt").write_text("old")
    for folder in (new, old):
        with pytest.raises(type(failure)):
            fail_half_way(folder, lambda _: failure)
    assert not new.parent.exists()
    assert listed(old) == ["a.txt"]
    assert (old / "a.txt").read_text() == "old"


def test_a_failed_write_names_the_folder_that_the_user_gave(tmp_path):
    with pytest.raises(OSError, match=f"^{re.escape(str(tmp_path / 'run'))}/a.txt: full$"):
        fail_half_way(tmp_path / "run", lambda stage: ModelFileError(f"{stage}/a.txt: full"))


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "run" / "model.kan").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "run")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/self/run"), tmp_path / "run"):
        with pytest.raises(OSError, match="folder"):
            check_folder(str(folder), ["model.kan"])
    check_folder(str(tmp_path / "dangling"), ["model.kan"])
    assert listed(tmp_path) == ["dangling", "file", "here", "run"]


# ---------------------------------------------------------------------------------- fit


def test_scores_are_in_the_units_of_the_table():
    y = torch.tensor([[1.0, 0.0], [3.0, 5.0]], dtype=torch.float64)
    first, second = scores(y + torch.tensor([[0.0, 1.0], [2.0, 0.0]]), y, part="test", targets=["a", "b"])
    assert (first.target, first.part, first.rows) == ("a", "test", 2)
    assert first.rmse == pytest.approx(2**0.5)
    assert first.r2 == pytest.approx(1 - 4 / 2)
    assert first.largest_relative_deviation == pytest.approx(2 / 3)
    assert second.largest_relative_deviation == 0  # where the target is 0 there is no relative deviation
    (constant,) = scores(y[:1, :1], y[:1, :1], part="test", targets=["a"])
    assert constant.r2 != constant.r2
    assert scores(y[:0], y[:0], part="test", targets=["a", "b"]) == []


@pytest.fixture
def fake_fit(monkeypatch):
    """`fit_table` that gives a known model at once, and the arguments of its calls."""
    calls = []

    def fit_table(x, y, **options):
        calls.append((x, y, options))
        names = {"input_names": tuple(options["input_names"]), "output_names": tuple(options["output_names"])}
        history = edgewise.History()
        history.append({"step": 1, "train_loss": 0.5})
        model = (
            symbolic_model(**names) if (x.shape[1], y.shape[1]) == (2, 1) else KAN([x.shape[1], y.shape[1]], **names)
        )
        return types.SimpleNamespace(model=model, history=history, notes=("a note [red]on[/red] it",))

    monkeypatch.setattr("edgewise.discovery.fit_table", fit_table)
    return calls


def test_fit_passes_its_options_on(fake_fit, table):
    run("fit", table, "--target", "y", "--inputs", "b,a", "--max-time", "5", "--seed", "3", "--width", "4+1,1")
    ((x, y, options),) = fake_fit
    assert x.shape == (24, 2)
    assert y.shape == (24, 1)
    assert options == {
        "width": [2, [4, 1], 1],
        "basis": None,
        "max_time": 5.0,
        "seed": 3,
        "input_names": ("b", "a"),
        "output_names": ("y",),
    }


def test_fit_prints_scores_and_notes_and_writes_a_run(fake_fit, table, tmp_path):
    out = tmp_path / "runs" / "first"
    result = run("fit", table, "--target", "y", "--basis", "chebyshev:5", "--out", out)
    for words in (
        "24 training rows, 6 test rows: a, b -> y",
        "note: column 'kind' is left out: it holds words",
        "note: column 'one' is left out: it is 1 in every row",
        "note: column 'nothing' is left out: it is empty",
        "note: a note [red]on[/red] it",
        "24 train",
        "6 test",
        f"written: {out / 'model.kan'}, {out / 'network.png'}, {out / 'report.json'}",
    ):
        assert words in result.stdout
    assert listed(out) == ["model.kan", "network.png", "report.json"]
    assert edgewise.load(out / "model.kan").input_names == ("a", "b")
    assert (out / "network.png").read_bytes().startswith(b"\x89PNG")
    text = (out / "report.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    report = json.loads(text)
    assert report["table"] == "data.csv"
    assert report["options"]["basis"] == {"family": "Chebyshev", "degree": 5, "reach": 0.0}
    assert report["training"] == {"steps": 1, "ended": "steps"}
    assert report["versions"]["torch"] == torch.__version__
    data = edgewise.read_table(table, target="y")
    (_, test) = report["scores"]
    model = symbolic_model()
    assert test["rows"] == 6
    assert test["rmse"] == pytest.approx(
        float((model(data.test_input).detach() - data.test_target).square().mean().sqrt())
    )


def test_fit_without_test_rows_or_output(fake_fit, table):
    result = run("fit", table, "--target", "y", "--test-fraction", "0")
    assert "30 train" in result.stdout
    assert "0 test\n" not in result.stdout
    assert "written" not in result.stdout
    assert listed(".") == []


def test_fit_with_several_targets(fake_fit, table):
    run("fit", table, "--target", "y", "--target", "a", "--inputs", "b")
    assert fake_fit[0][2]["output_names"] == ("y", "a")


def test_a_run_that_cannot_be_written_leaves_the_old_one(fake_fit, table, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run("fit", table, "--target", "y", "--out", out)
    before = {name: (out / name).read_bytes() for name in listed(out)}

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("edgewise.cli.fit.write_report", full)
    result = run("fit", table, "--target", "y", "--out", out, code=1)
    assert result.stderr == "error: x: No space left on device\n"
    assert {name: (out / name).read_bytes() for name in listed(out)} == before


# ---------------------------------------------------------------------------------- the real thing


@pytest.mark.slow
def test_fit_learns_a_table(table, tmp_path):
    out = tmp_path / "run"
    run("fit", table, "--target", "y", "--inputs", "a,b", "--max-time", "5", "--out", out)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [score["part"] for score in report["scores"]] == ["train", "test"]
    assert report["scores"][0]["r2"] > 0.99
    model, data = edgewise.load(out / "model.kan"), edgewise.read_table(table, target="y", inputs=["a", "b"])
    rmse = float((model(data.test_input) - data.test_target).square().mean().sqrt().detach())
    assert rmse == pytest.approx(report["scores"][1]["rmse"])
    run("plot", out, "-o", "net.png")


@pytest.mark.slow
def test_fit_takes_a_width_and_a_basis(table):
    result = run("fit", table, "--target", "y", "--width", "2,1", "--basis", "chebyshev:4", "--max-time", "3")
    assert "6 test" in result.stdout


@pytest.mark.slow
def test_discover_finds_a_formula(tmp_path):
    path, out = tmp_path / "square.csv", tmp_path / "run"
    path.write_text("side,area\n" + "".join(f"{i / 4},{(i / 4) ** 2}\n" for i in range(1, 41)))
    result = run("discover", path, "--target", "area", "--max-time", "10", "--out", out)
    assert "area = side**2\n" in result.stdout
    assert "→" in result.stdout
    assert listed(out) == ["formula.txt", "formulas.csv", "formulas.tex", "model.kan", "network.png"]
    assert (out / "formula.txt").read_text() == "area = side**2\n"
    rows = list(csv.DictReader((out / "formulas.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["formula"] for row in rows if row["pick"] == "yes"] == ["side**2"]
    assert float(rows[-1]["r2"]) > 0.999999
    assert run("formula", out).stdout == "area = side**2\n"
    run("plot", out, "-o", "net.svg")


@pytest.mark.slow
def test_discover_takes_units_weights_and_a_start(tmp_path):
    path, out = tmp_path / "energy.csv", tmp_path / "run"
    rows = [(1 + i % 7, 0.5 + i % 5, 1.0 if i % 3 else 0.0) for i in range(60)]
    lines = [f"{m},{v},{0.5 * m * v * v if w else 1e9},{w}" for m, v, w in rows]
    path.write_text("\n".join(["m,v,E,w", *lines]) + "\n")
    options = ("--target", "E", "--weights", "w", "--max-time", "20")
    result = run("discover", path, *options, "--units", "kg,m/s,J", "--out", out)
    assert "dimensional analysis: error" in result.stdout
    assert "E = m*v**2/2\n" in result.stdout
    again = run("discover", path, *options, "--start", out, "--inputs", "m,v", "--max-complexity", "20", "--robust")
    assert "E = m*v**2/2\n" in again.stdout
    line = refused("discover", path, *options, "--start", out, "--inputs", "v,m", code=2)
    assert f"--start: the inputs of {out} are m, v, those of the search v, m" in line


@pytest.mark.parametrize(
    ("weights", "code", "message"),
    [
        ([2] * 6, 2, "--weights: column 'w' is left out: it is 2 in every row"),
        ([1, 1, -3, 2, -1, 0], 1, "weights.csv: the weights in column 'w' go down to -3; expected 0 or more"),
    ],
)
def test_discover_says_what_is_wrong_with_weights(tmp_path, weights, code, message):
    path = tmp_path / "weights.csv"
    path.write_text("x,y,w\n" + "".join(f"{x},{x * x},{w}\n" for x, w in enumerate(weights)))
    assert message in refused("discover", path, "--target", "y", "--weights", "w", code=code)


def test_discover_does_not_begin_with_curves(table, tmp_path):
    data = edgewise.read_table(table, target="y")
    model = edgewise.KAN([2, 1])
    path = tmp_path / "curves.kan"
    model.rebuilt(model.all_layers, input_names=data.input_names).save(path)
    line = refused("discover", table, "--target", "y", "--start", path, code=2)
    assert f"--start: the network of {path} has edges without names" in line


@pytest.mark.slow
def test_the_unit_of_a_column_that_never_changes_goes_with_it(tmp_path):
    path = tmp_path / "fall.csv"
    rows = [(1 + i % 7, 9.81) for i in range(30)]
    path.write_text("\n".join(["h,g,v2", *(f"{h},{g},{2 * g * h}" for h, g in rows)]) + "\n")
    options = ("--target", "v2", "--inputs", "h,g", "--units", "m,m/s^2,m^2/s^2", "--max-time", "20")
    assert "v2 = 19.62*h\n" in run("discover", path, *options).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weights", "q"), "--weights: there is no column 'q'; there are a, b"),
        (("--weights", "a", "--inputs", "a"), "no inputs are left"),
        (("--units", "m"), "--units: 3 are needed, those of a, b and y, in this order"),
        (("--units", "m,parsnip,s"), "'parsnip' is not known"),
        (("--forbid", "sinn"), "closest are 'sin'"),
        (("--start", "nowhere"), "nowhere"),
    ],
)
def test_discover_refuses_what_does_not_fit_the_table(table, options, message):
    result = CliRunner().invoke(main, ["discover", str(table), "--target", "y", *options])
    assert result.exit_code != 0
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line


@pytest.mark.slow
def test_the_demo():
    result = run("demo")
    for words in (
        "table: orbits.csv",
        "59 rows",
        "column 'body' is left out",
        "products of powers: error",
        "period_days = ",
        "R² 0.99",
    ):
        assert words in result.stdout
    assert listed(".") == ["demo.kan", "demo.png"]
    formula = run("formula", "demo.kan", "--digits", "2").stdout
    assert formula.startswith("period_days = ")
    data = edgewise.read_table(datasets.path("orbits"), target="period_days", test_fraction=0)
    relative = edgewise.load("demo.kan")(data.train_input).detach() / data.train_target - 1
    assert float(relative.abs().max()) < 0.02
