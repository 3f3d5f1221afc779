"""A person and a network: look, change one edge, retrain, compare, and go back where it did not help.

The KAN papers call this human–KAN interaction (Liu et al., KAN (2024), section 2.5.2): a scientist looks at the curves,
has an idea of what one of them is, says so, and sees whether the network agrees. In Edgewise each change of structure
returns a new network and leaves the old one as it was. So to undo is to keep the old one, and any two states can be
compared. This script plays a session through, step by step, as one would type it in a notebook:

1. train a network that is larger than needed, make it sparse, prune it;
2. look at it, and ask for names of a curve;
3. swap an edge from B-splines to Chebyshev polynomials;
4. fix one edge to a sine and lock it, so that training leaves it alone while the others follow;
5. try a wrong idea, see the error rise, and undo it;
6. unlock, fix the rest, and read the formula.

The measurements are made up, of exp(sin(πx) + y²). Put your own table in place of `measurements()`, and your own
ideas in place of those below.

Run: `python examples/interaction.py`, a few seconds; `--quick` for fewer rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy
import torch

import edgewise as ew
from results import Settings, markdown

NAMES = ["x", "y"]


def law(x: torch.Tensor) -> torch.Tensor:
    """What nobody knows yet."""
    return torch.exp(torch.sin(torch.pi * x[:, 0]) + x[:, 1] ** 2)


def measurements(rows: int) -> ew.Dataset:
    """The table that we are given."""
    return ew.create_dataset(law, n_var=2, train_num=rows, test_num=rows, seed=0)


@dataclass
class Session:
    """The states of a network, each with a word on how it came about.

    Args:
        data: to train on, and to compare by.
        states: (what was done, the network after it), the present one last.
    """

    data: ew.Dataset
    states: list[tuple[str, ew.KAN]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def model(self) -> ew.KAN:
        """The present network."""
        return self.states[-1][1]

    def keep(self, what: str, model: ew.KAN) -> float:
        """Make a network the present one; its error."""
        self.states.append((what, model))
        return self._note(what)

    def retrained(self, what: str, model: ew.KAN) -> float:
        """Train a copy of a changed network, and make it the present one; its error."""
        model = model.copied()
        model.fit(self.data, steps=50)
        return self.keep(what, model)

    def undo(self) -> float:
        """Go back by one state; its error."""
        what, _ = self.states.pop()
        return self._note(f"undone: {what}")

    def _note(self, what: str) -> float:
        error = rmse(self.model, self.data)
        parameters = sum(block.gather().numel() for layer in self.model.all_layers for block in layer.all_blocks())
        self.log.append({"step": what, "network": str(self.model.width), "free numbers": parameters, "RMSE": error})
        return error


def rmse(model: ew.KAN, data: ew.Dataset) -> float:
    """Root mean square error on the test rows."""
    with torch.no_grad():
        return float((model(data.test_input) - data.test_target).square().mean().sqrt())


def sparse_start(data: ew.Dataset) -> ew.KAN:
    """Train, make sparse, prune: what is left has the structure of the law."""
    model = ew.KAN([2, 5, 1], seed=0, input_names=NAMES)
    model.fit(data, steps=20)
    model.fit(data, penalty=ew.Sparsity(), steps=60)
    model = model.prune()
    model.fit(data, steps=50)
    return model


def play(data: ew.Dataset) -> tuple[Session, sympy.Expr]:
    """The session; its states and the formula in the end."""
    session = Session(data)
    session.keep("trained, sparse, pruned", sparse_start(data))

    # Look: which curve is easy to name? The ranking says how well each name fits.
    for source in range(2):
        best = session.model.suggest_symbolic(0, source, 0)[0]
        print(f"the curve of {NAMES[source]} looks like {best.primitive.name}")

    # The curve of y is smooth: polynomials need fewer numbers for it than splines do.
    session.retrained("y by Chebyshev polynomials", session.model.with_basis(0, 1, 0, ew.Chebyshev(degree=6)))

    # A first idea: the curve of x is a sine. It is locked, so that the others have to follow.
    session.retrained("x is a sine, locked", session.model.fix_symbolic(0, 0, 0, "sin").lock(0, 0, 0))

    # A wrong idea, to see how the network objects.
    before = rmse(session.model, data)
    if session.retrained("y is a modulus", session.model.fix_symbolic(0, 1, 0, "abs")) > before:
        session.undo()

    # Better ones, for both that are left. With names everywhere, training has only a few constants to find;
    # and constants that are round up to rounding are taken for what they are.
    named = session.model.fix_symbolic(0, 1, 0, "x^2").fix_symbolic(1, 0, 0, "exp").unlock(0, 0, 0)
    session.retrained("y is a square, outside an exponential", named)
    session.keep("round constants", session.model.auto_symbolic(data))
    formula = session.model.symbolic_formula(names=NAMES)
    assert isinstance(formula, sympy.Expr)
    return session, formula


def figures(session: Session, formula: sympy.Expr) -> list[dict[str, Any]]:
    """What the session promises, and what came of it."""
    states = dict(session.states)
    sine, after = states["x is a sine, locked"], session.model
    swapped = states["trained, sparse, pruned"].with_basis(0, 1, 0, ew.Chebyshev(degree=6))
    x = session.data.test_input
    with torch.no_grad():
        moved = float((swapped(x) - states["trained, sparse, pruned"](x)).abs().max())
        said = ew.formula_function(formula, NAMES)(*x.T.numpy())
        off = float((torch.as_tensor(said) - session.data.test_target[:, 0]).square().mean().sqrt())
    figures = [
        ("swapping a basis moves the outputs by at most", moved, 5e-3),
        ("RMSE with a locked sine", rmse(sine, session.data), 1e-3),
        ("RMSE with names everywhere", rmse(after, session.data), 1e-12),
        ("RMSE of the formula", off, 1e-12),
    ]
    return [
        {"figure": name, "wanted": f"≤ {bound:g}", "measured": value, "met": "yes" if value <= bound else "NO"}
        for name, value, bound in figures
    ]


def main(settings: Settings) -> None:
    """The session, what it came to, and the network at the beginning and in the end."""
    session, formula = play(measurements(300 if settings.quick else 1000))
    log = "\n".join(["The session, step by step:", "", markdown(session.log), "", f"Its formula: `{formula}`"])
    settings.show("A person and a network", figures(session, formula), log)
    settings.draw(session.states[0][1].plot(title="sparse and pruned"), "interaction_before")
    settings.draw(session.model.plot(title="named"), "interaction_after")


if __name__ == "__main__":
    main(Settings.parse("interaction", "Look at a network, change single edges, retrain, compare, undo."))
