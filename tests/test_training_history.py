"""What a fit reports: the history, and its progress while it runs."""

import io
import re
import time

import matplotlib.figure
import pytest
import torch

from edgewise.kan import KAN
from edgewise.training import Adam, History, fit, progress
from edgewise.training.progress import Progress, describe

F64 = torch.float64


@pytest.fixture
def data(uniform):
    x = uniform(-1, 1, 30, 2)
    return x, x[:, 0] * x[:, 1]


def row(step, **values):
    return {"step": step, "time": 0.5, "train_loss": 0.25, "validation_loss": None, "penalty": 0.0} | values


def test_the_table_has_a_row_per_step(data):
    history = fit(KAN([2, 2, 1], seed=0), data, steps=4, validation=0.3)
    table = history.to_dict()
    assert list(table) == ["step", "time", "train_loss", "validation_loss", "penalty", "damping", "slope"]
    assert table["step"] == [1, 2, 3, 4]
    assert len(history) == 4
    assert list(history) == history.rows
    assert history.last is history.rows[-1]
    assert all(before <= after for before, after in zip(table["time"], table["time"][1:], strict=False))
    assert all(value >= 0 for name in ("train_loss", "validation_loss", "damping") for value in table[name])


def test_figures_that_a_step_did_not_report_are_none():
    history = History()
    history.append(row(1, damping=0.1))
    history.append(row(2))
    assert history.to_dict()["damping"] == [0.1, None]


def test_a_history_is_shown_in_a_line():
    history = History()
    assert repr(history) == "History(0 steps, reason='steps')"
    history.append(row(1, train_loss=0.0123456))
    history.reason = "target"
    assert repr(history) == "History(1 steps, train_loss=0.0123, reason='target')"
    assert History().last == {}
    assert History().to_dict() == {}


def test_a_history_can_be_drawn(data):
    history = fit(KAN([2, 2, 1], seed=0), data, steps=5, validation=0.3)
    figure = history.plot()
    assert isinstance(figure, matplotlib.figure.Figure)
    (axes,) = figure.axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert drawn["training"] == history.to_dict()["train_loss"]
    assert drawn["validation"] == history.to_dict()["validation_loss"]
    assert isinstance(History().plot(), matplotlib.figure.Figure)


def test_a_row_as_a_line():
    assert describe(row(3), 20) == "step 3/20  train 2.500e-01  0.5 s"
    full = row(20, validation_loss=0.5, penalty=0.125, damping=1e-3)
    assert describe(full, 20) == "step 20/20  train 2.500e-01  validation 5.000e-01  penalty 1.25e-01  0.5 s"
    assert describe(row(1, train_loss=float("nan")), 1) == "step 1/1  train nan  0.5 s"


def test_logs_get_a_line_now_and_then_and_the_last_state(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(10, stream) as shown:
        for step in range(1, 11):
            shown.show(row(step))
            now[0] += 1.0
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/10", "6/10", "10/10"]
    assert lines[0] == describe(row(1), 10)


def test_the_last_line_is_not_written_twice(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(2, stream) as shown:
        shown.show(row(1))
        now[0] = 10.0
        shown.show(row(2))
    assert len(stream.getvalue().splitlines()) == 2
    empty = io.StringIO()
    with Progress(2, empty):
        pass
    assert empty.getvalue() == ""


def test_long_lines_and_brackets_go_to_logs_as_they_are():
    stream = io.StringIO()
    with Progress(10**200, stream) as shown:
        shown.show(row(1))
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminals_get_one_live_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with Progress(3, stream) as shown:
        assert shown.live is not None
        for step in (1, 2, 3):
            shown.show(row(step))
    written = stream.getvalue()
    assert re.findall(r"step (\d)/3", written)[-1] == "3"
    assert "\x1b[" in written  # the cursor goes back, the line is rewritten
    assert all(f"step {step}/3" in written for step in (1, 2, 3))


def test_an_error_ends_the_live_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    shown = Progress(3, stream)

    def interrupted():
        with shown:
            shown.show(row(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not shown.live.is_started
    assert "step 1/3" in stream.getvalue()


def test_progress_goes_to_standard_error(data, capsys):
    fit(KAN([2, 1], seed=0), data, solver="adam", steps=3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("step 3/3  train ")


def test_fits_are_silent_by_default(data, capsys):
    fit(KAN([2, 1], seed=0), data, steps=3)
    assert capsys.readouterr() == ("", "")


def test_an_interrupted_fit_shows_where_it_was(data, capsys):
    def interrupt(model, row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    fit(KAN([2, 1], seed=0), data, solver=Adam(), steps=9, progress=True, callbacks=[interrupt])
    assert "step 2/9" in capsys.readouterr().err


def test_lines_are_far_enough_apart_for_logs():
    assert progress._SECONDS_BETWEEN_LINES >= 1
