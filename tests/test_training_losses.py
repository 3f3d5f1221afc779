"""Losses of the outputs: their values, their gradients and curvatures, and what they refuse."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_poisson_deviance

from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.training import CrossEntropy, MeanSquaredError, Poisson, find_loss

F64 = torch.float64
LOSSES = [MeanSquaredError(), CrossEntropy(), CrossEntropy(smoothing=0.2), Poisson()]


@pytest.fixture(params=LOSSES, ids=["mse", "cross-entropy", "smoothed", "poisson"])
def loss(request):
    return request.param


@pytest.fixture(params=[1, 2, 4])
def case(request, loss, normal, rng):
    """Outputs and targets."""
    outputs = normal(6, request.param)
    if isinstance(loss, MeanSquaredError):
        return outputs, normal(6, request.param)
    if isinstance(loss, Poisson):
        return outputs, torch.poisson(outputs.exp(), generator=rng)
    return outputs, torch.randint(request.param, (6,), generator=rng)


def test_rows_give_the_exact_gradient(loss, case):
    output, target = case
    output.requires_grad_()
    (wanted,) = torch.autograd.grad(loss.value(output, target), output)
    factor, rows = loss.rows(output.detach(), target)
    torch.testing.assert_close(torch.einsum("nor,nr->no", factor, rows) / len(output), wanted)


def test_rows_give_the_exact_curvature(loss, case):
    output, target = case
    hessian = torch.autograd.functional.hessian(lambda o: loss.value(o, target), output)
    factor, _ = loss.rows(output, target)
    for row in range(len(output)):
        torch.testing.assert_close(factor[row] @ factor[row].T / len(output), hessian[row, :, row])


def test_losses_are_means_of_those_of_the_samples(loss, case):
    output, target = case
    each = loss.per_sample(output, target)
    alone = torch.stack([loss.value(output[row : row + 1], target[row : row + 1]) for row in range(len(output))])
    torch.testing.assert_close(each, alone)
    torch.testing.assert_close(loss.value(output, target), each.mean())


def test_poisson_is_half_the_mean_deviance(normal, rng):
    output = normal(200, 2)
    counts = torch.poisson(output.exp(), generator=rng)
    assert (counts == 0).any()
    wanted = mean_poisson_deviance(counts.flatten().numpy(), output.exp().flatten().numpy()) / 2
    np.testing.assert_allclose(Poisson().value(output, counts).item(), wanted)
    exact = counts[counts > 0][:, None]
    assert Poisson().value(exact.log(), exact).item() == pytest.approx(0, abs=1e-14)


def test_poisson_differs_from_the_log_likelihood_by_a_constant(normal, rng):
    first, second = normal(50, 1), normal(50, 1)
    counts = torch.poisson(first.exp(), generator=rng)
    differences = []
    for output in (first, second):
        wanted = torch.nn.functional.poisson_nll_loss(output, counts, log_input=True, full=False)
        differences.append(Poisson().value(output, counts) - wanted)
    torch.testing.assert_close(*differences)


def test_rates_of_almost_zero_have_finite_rows():
    output = torch.tensor([[-800.0], [-800.0], [3.0]], dtype=F64)
    factor, rows = Poisson().rows(output, torch.tensor([[0.0], [2.0], [0.0]], dtype=F64))
    assert factor.isfinite().all()
    assert rows.isfinite().all()
    wanted = torch.tensor([[0.0], [-2.0], [np.exp(3.0)]], dtype=F64)
    torch.testing.assert_close((factor @ rows.unsqueeze(2)).squeeze(2), wanted, rtol=0, atol=1e-11)


def test_what_are_no_counts():
    good = torch.tensor([[0.0, 2.5], [3.0, 1.0]])
    assert Poisson().check(good, 2) is good
    with pytest.raises(DataError, match=r"counts are 0 or more: .* row 1 \(counted from 0\), output 0 is -3"):
        Poisson().check(good * torch.tensor([-1.0, 1.0]), 2)
    with pytest.raises(ShapeError, match=r"the model has 1 outputs, got targets of shape \(2, 2\)"):
        Poisson().check(good, 1)


def test_mean_squared_error_is_a_mean_over_samples_and_outputs(normal):
    output, target = normal(5, 3), normal(5, 3)
    wanted = np.mean((output.numpy() - target.numpy()) ** 2)
    np.testing.assert_allclose(MeanSquaredError().value(output, target).item(), wanted)


def test_cross_entropy_is_the_mean_log_likelihood(normal):
    output, labels = normal(5, 3), torch.tensor([0, 2, 1, 1, 0])
    logits = output.numpy()
    wanted = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(5), labels.numpy()])
    np.testing.assert_allclose(CrossEntropy().value(output, labels).item(), wanted)


def test_certain_predictions_have_finite_rows():
    output = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], dtype=F64).requires_grad_()
    labels = torch.tensor([0, 0])  # one certainly right, one certainly wrong
    factor, rows = CrossEntropy().rows(output.detach(), labels)
    assert factor.isfinite().all()
    assert rows.isfinite().all()
    (wanted,) = torch.autograd.grad(CrossEntropy().value(output, labels), output)
    got = torch.einsum("nor,nr->no", factor, rows) / 2
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)  # probabilities are kept above 1e-12


def test_targets_of_the_mean_squared_error():
    good = torch.zeros(4, 2)
    assert MeanSquaredError().check(good, 2) is good
    with pytest.raises(ShapeError, match="class labels as targets of the mse; use loss='cross_entropy' or floating"):
        MeanSquaredError().check(torch.zeros(4, dtype=torch.int64), 1)
    for wrong in (torch.zeros(4), torch.zeros(4, 1), torch.zeros(4, 2, 1)):
        with pytest.raises(ShapeError, match="the model has 2 outputs, got targets of shape"):
            MeanSquaredError().check(wrong, 2)


@pytest.mark.parametrize("labels", [torch.tensor([0, 2, 1]), torch.tensor([[0.0], [2.0], [1.0]])])
def test_labels(labels):
    checked = CrossEntropy().check(labels, 3)
    assert checked.dtype == torch.int64
    assert checked.tolist() == [0, 2, 1]


def test_what_are_no_labels():
    for wrong in (torch.tensor([0.5, 1.0]), torch.zeros(3, 2), torch.tensor([[0.0], [1.5]])):
        with pytest.raises(ShapeError, match=r"cross_entropy takes class labels of shape \(N,\), whole numbers, got "):
            CrossEntropy().check(wrong, 3)
    for wrong in (torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(OptionError, match=r"the model has 3 outputs, so labels are 0 to 2; got -?[0-9] to [0-9]"):
            CrossEntropy().check(wrong, 3)
    assert len(CrossEntropy().check(torch.empty(0, dtype=torch.int64), 3)) == 0


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_is_a_share(smoothing):
    with pytest.raises(OptionError, match="label smoothing is a share from 0 to below 1, got"):
        CrossEntropy(smoothing=smoothing)


def test_losses_by_name():
    assert isinstance(find_loss("mse"), MeanSquaredError)
    assert find_loss("cross_entropy") == CrossEntropy()
    assert isinstance(find_loss("poisson"), Poisson)
    own = CrossEntropy(smoothing=0.1)
    assert find_loss(own) is own
    with pytest.raises(OptionError, match="unknown loss 'mae'; use 'mse', 'cross_entropy', 'poisson' or a callable"):
        find_loss("mae")
