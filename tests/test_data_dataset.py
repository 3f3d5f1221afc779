"""Dataset, as_dataset and create_dataset: what goes in, what comes out, what is refused."""

import copy
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewise.data import Dataset, as_dataset, create_dataset
from edgewise.errors import DataError, DomainError, OptionError, ShapeError


def make(**changes):
    x = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
    parts = {"train_input": x, "train_target": x.sum(1), "test_input": x[:1], "test_target": x[:1].sum(1)}
    return Dataset(**(parts | changes))


class TestDataset:
    def test_is_both_attributes_and_a_mapping_of_the_four_tensors(self):
        data = make()
        assert list(data) == ["train_input", "train_target", "test_input", "test_target"]
        assert len(data) == 4
        assert all(data[key] is getattr(data, key) for key in data)
        assert "input_names" not in data

    def test_an_unknown_key_names_the_known_ones(self):
        with pytest.raises(KeyError, match=r"train_label.*a Dataset has train_input"):
            make()["train_label"]

    def test_is_frozen(self):
        with pytest.raises(FrozenInstanceError):
            make().notes = ("changed",)

    def test_real_targets_of_shape_n_become_n_by_1(self):
        data = make()
        assert data.train_target.shape == (3, 1)
        assert data.test_target.shape == (1, 1)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int32, torch.bool])
    def test_numbers_become_float64(self, dtype):
        data = make(train_input=torch.ones(3, 2, dtype=dtype), train_target=torch.ones(3, 1, dtype=dtype))
        assert data.train_input.dtype == data.train_target.dtype == torch.float64

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool])
    def test_integers_of_shape_n_stay_class_labels(self, dtype):
        labels = torch.tensor([0, 1, 1], dtype=dtype)
        data = make(train_target=labels, test_target=labels[:1])
        assert data.is_labelled
        assert data.train_target.dtype == torch.int64
        assert data.train_target.tolist() == [0, 1, 1]
        assert data.target_names == ("y",)

    def test_default_names(self):
        assert make().input_names == ("x0", "x1")
        assert make().target_names == ("y",)
        two = make(train_target=torch.ones(3, 2), test_target=torch.ones(1, 2))
        assert two.target_names == ("y0", "y1")

    def test_values_are_detached(self):
        data = make(train_input=torch.ones(3, 2, requires_grad=True))
        assert not data.train_input.requires_grad

    def test_the_test_part_may_be_empty(self):
        data = make(test_input=torch.empty(0, 2), test_target=torch.empty(0))
        assert data.test_target.shape == (0, 1)

    def test_copies_compare_equal_and_changes_do_not(self):
        data = make(input_names=("a", "b"), notes=["note"])
        assert data == copy.deepcopy(data) == replace(data)
        assert data != replace(data, notes=())
        assert data != replace(data, train_input=data.train_input + 1)
        assert data != replace(data, train_input=data.train_input[:2], train_target=data.train_target[:2])
        assert data != replace(data, dtype=torch.float32)
        assert data != dict(data)

    def test_repr_is_one_line(self):
        assert repr(make()) == "Dataset(3 training rows, 1 test row: x0, x1 -> y)"
        wide = Dataset(torch.ones(2, 20), torch.ones(2), torch.ones(0, 20), torch.ones(0))
        assert repr(wide) == "Dataset(2 training rows, 0 test rows: x0, x1, x2, x3, … 15 more …, x19 -> y)"

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"train_target": torch.ones(2)}, ShapeError, "train_input has 3 rows and train_target 2"),
            ({"test_target": torch.ones(2)}, ShapeError, "test_input has 1 rows and test_target 2"),
            ({"test_input": torch.ones(1, 3)}, ShapeError, "train_input has 2 columns and test_input 3"),
            ({"test_target": torch.ones(1, 2)}, ShapeError, r"shape \(3, 1\) and test_target .* of shape \(1, 2\)"),
            ({"test_target": torch.ones(1, dtype=torch.int64)}, ShapeError, "in both or in neither"),
            ({"train_input": torch.ones(3)}, ShapeError, r"shape \(3,\), expected \(rows, inputs\).*X\[:, None\]"),
            ({"train_input": torch.ones(3, 2, 1)}, ShapeError, r"expected \(rows, inputs\)$"),
            ({"train_target": torch.ones(3, 1, 1)}, ShapeError, r"expected \(rows, targets\) or \(rows,\)"),
            ({"train_input": np.ones((3, 2))}, DataError, "train_input is a ndarray, expected a tensor; as_dataset"),
            ({"train_target": torch.ones(3, dtype=torch.complex64)}, DataError, "complex64 values; expected real"),
            ({"input_names": ("a",)}, ShapeError, "input_names has 1 names for 2 columns"),
            ({"input_names": ("a", "a")}, DataError, "input_names: columns 1 and 2 are both named 'a'"),
            ({"target_names": "y"}, DataError, "target_names is the string 'y'"),
            ({"dtype": torch.int64}, OptionError, "dtype is torch.int64, expected a floating type"),
        ],
    )
    def test_refuses_what_does_not_fit(self, changes, error, message):
        with pytest.raises(error, match=message):
            make(**changes)

    def test_refuses_data_without_rows_or_columns(self):
        with pytest.raises(DataError, match="train_input has no rows"):
            make(train_input=torch.ones(0, 2), train_target=torch.ones(0))
        with pytest.raises(ShapeError, match="train_input has no columns"):
            make(train_input=torch.ones(3, 0), test_input=torch.ones(1, 0))

    @pytest.mark.parametrize("key", ["train_input", "train_target", "test_input", "test_target"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_refuses_values_that_are_not_finite_by_row_and_column(self, key, value):
        data = make(input_names=("width", "height"), target_names=("area",))
        spoilt = data[key].clone()
        spoilt[-1, -1] = value
        column = "height" if "input" in key else "area"
        message = f"{key}: row {len(spoilt) - 1} (counted from 0), column '{column}' is {value}"
        with pytest.raises(DataError, match=re.escape(message)):
            replace(data, **{key: spoilt})

    def test_counts_further_values_that_are_not_finite(self):
        with pytest.raises(DataError, match=r"\(5 more such values\)"):
            make(train_input=torch.full((3, 2), torch.nan))


class TestAsDataset:
    def test_a_dataset_is_handed_back(self):
        data = make()
        assert as_dataset(data) is data

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("form", [torch.tensor, np.array, list], ids=["tensor", "array", "list"])
    def test_pairs_of_all_kinds_in_the_wanted_dtype(self, form, dtype):
        data = as_dataset((form([[1.0, 2.0], [3.0, 4.0]]), form([5.0, 6.0])), dtype=dtype)
        assert data.train_input.dtype == data.test_target.dtype == data.dtype == dtype
        assert data.train_input.tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert data.train_target.tolist() == [[5.0], [6.0]]
        assert data.test_input.shape == (0, 2)
        assert data.test_target.shape == (0, 1)

    def test_frames_give_their_names(self):
        frame = pd.DataFrame({"mass": [1, 2, 3], "on": [True, False, True], "price": [0.5, 1.5, 2.5]})
        data = as_dataset((frame[["mass", "on"]], frame["price"]))
        assert (data.input_names, data.target_names) == (("mass", "on"), ("price",))
        assert data.train_input.tolist() == [[1, 1], [2, 0], [3, 1]]
        assert as_dataset((frame[["mass"]], frame[["on", "price"]])).target_names == ("on", "price")
        assert as_dataset((frame[["mass"]], frame["price"].rename(None))).target_names == ("y",)

    def test_integer_series_are_labels_and_integer_frames_are_numbers(self):
        frame = pd.DataFrame({"x": [0.0, 1.0], "kind": [1, 0]})
        assert as_dataset((frame[["x"]], frame["kind"])).train_target.tolist() == [1, 0]
        assert as_dataset((frame[["x"]], frame[["kind"]])).train_target.tolist() == [[1.0], [0.0]]

    @pytest.mark.parametrize("y", [[0, 1, 1], np.array([0, 1, 1], dtype=np.uint8), torch.tensor([False, True, True])])
    def test_labels_can_be_taken_as_numbers(self, y):
        x = [[0.0], [1.0], [2.0]]
        assert as_dataset((x, y)).train_target.dtype == torch.int64
        numbers = as_dataset((x, y), labels=False)
        assert numbers.train_target.tolist() == [[0.0], [1.0], [1.0]]
        assert numbers.test_target.shape == (0, 1)

    @pytest.mark.parametrize("word", ["target", "label"])
    def test_dicts_in_our_and_pykans_spelling(self, word):
        data = make()
        parts = {
            "train_input": data.train_input,
            "test_input": data.test_input,
            f"train_{word}": data.train_target,
            f"test_{word}": data.test_target,
        }
        assert as_dataset(parts) == data

    def test_dicts_may_leave_out_the_test_part(self):
        assert as_dataset({"train_input": [[1.0]], "train_target": [2.0]}).test_input.shape == (0, 1)

    def test_inputs_alone_have_no_targets(self):
        data = as_dataset(np.ones((4, 2)))
        assert data.train_target.shape == (4, 0)
        assert data.target_names == ()
        assert as_dataset({"train_input": np.ones((4, 2)), "test_input": np.ones((3, 2))}).test_target.shape == (3, 0)

    def test_arrays_are_copied_even_if_read_only(self):
        x = np.ones((2, 1))
        x.flags.writeable = False
        data = as_dataset((x, x[:, 0]))
        data.train_input[0, 0] = 5.0
        assert x[0, 0] == 1.0

    def test_the_batch_of_float64_overflowing_float32_is_refused(self):
        with pytest.raises(DataError, match=r"column 'x0' is inf in torch.float32"):
            as_dataset(([[1e300], [1.0]], [0.0, 1.0]), dtype=torch.float32)

    @pytest.mark.parametrize(
        ("data", "error", "message"),
        [
            ((1, 2, 3), DataError, r"got a tuple of 3, expected \(X, y\)"),
            ({"X": [[1.0]]}, DataError, "got a mapping with the keys X; expected train_input"),
            ({}, DataError, r"got a mapping with the keys \(none\)"),
            ({"train_target": [1.0]}, DataError, "expected train_input"),
            (
                {"train_input": [[1.0]], "train_target": [1.0], "train_label": [1.0]},
                DataError,
                "keys train_input, train_target, train_label",
            ),
            (
                {"train_input": [[1.0]], "train_target": [1.0], "test_input": [[1.0]]},
                DataError,
                "one of test_input and test_target",
            ),
            (([[1.0], [2.0, 3.0]], [1.0, 2.0]), ShapeError, "rows of different lengths"),
            (([["a"], ["b"]], [1.0, 2.0]), DataError, "train_input is a list of <U1 values"),
            ("data.csv", DataError, "train_input is a str of"),
            (None, DataError, "train_input is a NoneType of object values"),
            (3.0, ShapeError, "train_input is a single value"),
            ((pd.DataFrame({}), [1.0]), ShapeError, "train_input has no columns"),
            (
                (pd.DataFrame({"a": [1.0, None]}), [1.0, 2.0]),
                DataError,
                r"train_input \(rows counted from 0\): row 1, column 'a': found an empty cell",
            ),
            ((pd.DataFrame({"a": [1.0, 2.0]}), pd.Series(["u", "v"], name="k")), DataError, "column 'k': found 'u'"),
            (
                {
                    "train_input": pd.DataFrame({"a": [1.0], "b": [2.0]}),
                    "train_target": [1.0],
                    "test_input": pd.DataFrame({"b": [2.0], "a": [1.0]}),
                    "test_target": [1.0],
                },
                DataError,
                "train_input has the columns a, b and test_input b, a",
            ),
        ],
    )
    def test_refuses_other_things(self, data, error, message):
        with pytest.raises(error, match=message):
            as_dataset(data)

    @settings(max_examples=30, deadline=None)
    @given(
        hnp.arrays(
            np.float64,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
            elements=st.floats(allow_nan=False, allow_infinity=False),
        )
    )
    def test_finite_arrays_pass_unchanged(self, x):
        data = as_dataset((x, x[:, 0]))
        np.testing.assert_array_equal(data.train_input.numpy(), x)
        np.testing.assert_array_equal(data.train_target.numpy(), x[:, :1])


class TestCreateDataset:
    def test_pykans_tutorial_function(self):
        data = create_dataset(lambda x: 3 * x[:, [0]] ** 3 + 2 * x[:, [0]] + 4, n_var=2)
        x, y = data["train_input"], data["train_target"]
        assert (x.shape, y.shape) == ((1000, 2), (1000, 1))
        assert x.dtype == y.dtype == torch.float64
        torch.testing.assert_close(y, 3 * x[:, [0]] ** 3 + 2 * x[:, [0]] + 4, rtol=0, atol=0)

    def test_a_result_of_shape_n_becomes_n_by_1(self):
        assert create_dataset(lambda x: x[:, 0] * x[:, 1]).test_target.shape == (1000, 1)

    def test_several_outputs_and_no_test_rows(self):
        data = create_dataset(lambda x: x * 2, n_var=3, train_num=5, test_num=0)
        assert data.target_names == ("y0", "y1", "y2")
        assert data.test_target.shape == (0, 3)

    @pytest.mark.parametrize(
        "ranges",
        [[(0, 2), (-3, -1)], ((0, 2), (-3, -1)), np.array([[0, 2], [-3, -1]]), torch.tensor([[0, 2], [-3, -1]])],
        ids=["list", "tuple", "array", "tensor"],
    )
    def test_one_range_per_input(self, ranges):
        x = create_dataset(lambda x: x[:, 0], ranges=ranges).train_input
        assert (x[:, 0] >= 0).all()
        assert (x[:, 0] <= 2).all()
        assert x[:, 0].max() > 1.9
        assert (x[:, 1] >= -3).all()
        assert (x[:, 1] <= -1).all()
        assert x[:, 1].min() < -2.9

    def test_one_range_for_all_inputs(self):
        x = create_dataset(lambda x: x[:, 0], n_var=4, ranges=[5, 6]).train_input
        assert x.min() >= 5
        assert x.max() <= 6

    def test_the_seed_decides_and_global_generators_are_left_alone(self):
        before = torch.random.get_rng_state()
        first, again, other = (create_dataset(lambda x: x[:, 0], seed=seed) for seed in (1, 1, 2))
        assert first == again != other
        assert torch.equal(before, torch.random.get_rng_state())

    def test_training_rows_do_not_depend_on_the_test_rows(self):
        few, many = (create_dataset(lambda x: x[:, 0], test_num=count) for count in (0, 50))
        assert torch.equal(few.train_input, many.train_input)
        assert not torch.equal(many.train_input[:50], many.test_input)

    def test_row_mode_gives_the_function_one_input_per_row(self):
        column, row = (
            create_dataset(f, f_mode=mode, seed=3) for f, mode in ((lambda x: x[:, 1], "col"), (lambda x: x[1], "row"))
        )
        assert column == row

    def test_functions_of_numpy_and_functions_that_work_in_place(self):
        data = create_dataset(lambda x: np.sin(x[:, 0].numpy()), train_num=10)
        torch.testing.assert_close(data.train_target[:, 0], torch.sin(data.train_input[:, 0]))
        in_place = create_dataset(lambda x: x.mul_(0)[:, 0], train_num=10)
        assert in_place.train_input.abs().min() > 0

    @pytest.mark.parametrize(
        ("f", "options", "error", "message"),
        [
            (lambda x: x.sum(), {}, ShapeError, r"f returned shape \(\) for 1000 rows"),
            (lambda _: 1.0, {}, ShapeError, r"f returned shape \(\) for 1000 rows"),
            (lambda x: x[:10, 0], {}, ShapeError, r"shape \(10,\) for 1000 rows, expected \(1000,\) or \(1000, m\)"),
            (lambda x: x[0], {}, ShapeError, r"shape \(2,\)"),
            (lambda x: x[:, :, None], {}, ShapeError, r"shape \(1000, 2, 1\)"),
            (lambda _: "text", {}, DataError, "f returned a str"),
            (lambda x: x[:, 0] * 1j, {}, DataError, "f returned torch.complex128 values"),
            (lambda x: torch.log(x[:, 0]), {}, DataError, r"f is nan at row \d+, where x0 = -0\.\d+, x1 = .*keep `ran"),
            (lambda x: 1 / (x[:, 0] * 0), {}, DataError, r"f is -?inf at row 0, .* \(1000 such rows\)"),
            (lambda x: x, {"n_var": 0}, OptionError, "n_var is 0, expected at least 1"),
            (lambda x: x, {"train_num": 0}, OptionError, "train_num is 0, expected at least 1"),
            (lambda x: x, {"test_num": -1}, OptionError, "test_num is -1, expected at least 0"),
            (lambda x: x, {"f_mode": "rows"}, OptionError, "f_mode is 'rows'"),
            (lambda x: x, {"ranges": (1, 2, 3)}, ShapeError, r"ranges has shape \(3,\), expected \(2,\) or \(2, 2\)"),
            (lambda x: x, {"ranges": [(0, 1)] * 3}, ShapeError, r"ranges has shape \(3, 2\)"),
            (lambda x: x, {"ranges": [(0, 1), (1,)]}, ShapeError, "expected a pair"),
            (lambda x: x, {"ranges": (1, -1)}, DomainError, r"the range of x0 is \(1.0, -1.0\)"),
            (lambda x: x, {"ranges": [(0, 1), (2, 2)]}, DomainError, "the range of x1"),
            (lambda x: x, {"ranges": (0, float("inf"))}, DomainError, "expected finite numbers"),
        ],
    )
    def test_refuses_what_does_not_fit(self, f, options, error, message):
        with pytest.raises(error, match=message):
            create_dataset(f, **options)
