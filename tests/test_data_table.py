"""CSV files and frames to Datasets: what is understood, what is left out, what is refused and in which words."""

import csv
import math
import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewise import datasets
from edgewise.data import from_frame, read_table
from edgewise.errors import DataError, OptionError

PLAIN = "a,b,y\n1,2,3\n4,5,9\n7,8,15\n"


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file and hand out its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read_all(path, target="y", **options):
    return read_table(path, target=target, test_fraction=0, **options)


class TestFormats:
    @pytest.mark.parametrize(
        "text",
        [
            PLAIN,
            PLAIN.rstrip("\n"),
            PLAIN.replace("\n", "\r\n"),
            PLAIN.replace("\n", "\r"),
            PLAIN.replace(",", ";"),
            PLAIN.replace(",", "\t"),
            PLAIN.replace(",", " , "),
            "\ufeff" + PLAIN,
            "\n\n" + PLAIN.replace("\n", "\n\n") + "\n,,\n \n",
            PLAIN.replace("\n", ",,\n"),
            PLAIN.replace("3\n", "3,,\n"),
            '"a","b","y"\n"1","2","3"\n"4","5","9"\n"7","8","15"\n',
            "a,b,y\n1e0,+2.0,.3e1\n4.,5E0,9\n700e-2,8,1.5e+1\n",
        ],
        ids=[
            "plain",
            "no last line end",
            "crlf",
            "cr",
            "semicolons",
            "tabs",
            "spaces",
            "byte order mark",
            "blank rows",
            "blank columns",
            "ragged blanks",
            "quotes",
            "scientific",
        ],
    )
    def test_the_same_table_however_it_is_written(self, write, text):
        data = read_all(write(text))
        assert data.input_names == ("a", "b")
        assert data.target_names == ("y",)
        assert data.train_input.tolist() == [[1, 2], [4, 5], [7, 8]]
        assert data.train_target.tolist() == [[3], [9], [15]]
        assert data.train_input.dtype == torch.float64
        assert data.notes == ()

    def test_names_may_hold_delimiters_and_quotes(self, write):
        data = read_all(write('"length, m","the ""y""",y\n1,2,3\n4,5,9\n7,8,15\n'))
        assert data.input_names == ("length, m", 'the "y"')

    def test_commas_in_the_names_of_a_semicolon_file(self, write):
        data = read_all(write("length, m;width, m;y\n1;2;3\n4;5;9\n7;8;15\n"))
        assert data.input_names == ("length, m", "width, m")

    def test_a_quoted_cell_over_two_lines_keeps_the_row_numbers_right(self, write):
        path = write('"a\n(m)",y\n1,2\n3,x\n5,6\n')
        with pytest.raises(DataError, match="row 4, column 'y': found 'x'"):
            read_all(path)

    def test_several_targets_and_chosen_inputs_keep_the_users_order(self, write):
        data = read_all(write("a,b,c,d\n1,2,3,4\n5,6,7,9\n8,1,0,2\n"), target=["d", "a"], inputs=["c", "b"])
        assert (data.target_names, data.input_names) == (("d", "a"), ("c", "b"))
        assert data.train_target[0].tolist() == [4, 1]
        assert data.train_input[0].tolist() == [3, 2]
        assert read_all(write("a,b,y\n1,2,3\n5,6,7\n8,1,0\n"), inputs="b").input_names == ("b",)

    def test_columns_that_are_not_asked_for_need_not_be_good(self, write):
        data = read_all(write("a,b,y\n1,,3\n4,5,9\n7,inf,15\n"), inputs=["a"])
        assert data.train_input.tolist() == [[1], [4], [7]]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        rows=st.integers(1, 4).flatmap(
            lambda width: st.lists(
                st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=width + 1, max_size=width + 1),
                min_size=3,
                max_size=8,
            )
        ),
        delimiter=st.sampled_from(",;\t"),
        quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        line_end=st.sampled_from(["\n", "\r\n"]),
    )
    def test_random_tables_come_back_equal(self, tmp_path, rows, delimiter, quoting, line_end):
        # Row numbers in the first and last column keep the inputs from being constant or equal to the target.
        rows = [[index, *row, -index - 1] for index, row in enumerate(rows)]
        names = [f"c{place}" for place in range(len(rows[0]))]
        path = tmp_path / "random.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=line_end).writerows([names, *rows])
        data = read_all(path, target=names[-1])
        expected = np.array(rows)
        varying = [place for place in range(len(names) - 1) if not np.all(expected[:, place] == expected[0, place])]
        assert data.input_names == tuple(names[place] for place in varying)
        np.testing.assert_array_equal(data.train_input.numpy(), expected[:, varying])
        np.testing.assert_array_equal(data.train_target.numpy(), expected[:, -1:])
        assert len(data.notes) == len(names) - 1 - len(varying)


class TestSplit:
    def test_rows_are_split_at_random_by_the_seed(self, write):
        path = write("a,y\n" + "".join(f"{row},{row + 0.5}\n" for row in range(50)))
        first, again, other = (read_table(path, target="y", seed=seed) for seed in (0, 0, 1))
        assert first == again != other
        assert (len(first.train_input), len(first.test_input)) == (40, 10)
        both = torch.cat([first.train_input, first.test_input])
        assert sorted(both[:, 0].tolist()) == list(range(50))
        assert torch.equal(first.train_input + 0.5, first.train_target)
        assert torch.equal(first.test_input + 0.5, first.test_target)

    @pytest.mark.parametrize(
        ("rows", "fraction", "expected"),
        [(3, 0.2, 1), (3, 0.9, 1), (4, 0.01, 1), (10, 0.25, 2), (10, 0, 0), (9, 0.5, 4)],
    )
    def test_at_least_one_test_row_and_two_training_rows(self, write, rows, fraction, expected):
        path = write("a,y\n" + "".join(f"{row},{row**2 + 1}\n" for row in range(rows)))
        data = read_table(path, target="y", test_fraction=fraction)
        assert (len(data.test_input), len(data.train_input)) == (expected, rows - expected)
        assert data.test_input.shape == (expected, 1)

    @pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, math.nan])
    def test_impossible_fractions(self, write, fraction):
        with pytest.raises(OptionError, match=r"test_fraction is .*, expected a number in \[0, 1\)"):
            read_table(write(PLAIN), target="y", test_fraction=fraction)


class TestNotes:
    def test_columns_of_words_are_left_out(self, write):
        data = read_all(write("name,a,y\nIo,1,3\nEuropa,4,9\nTitan,7,15\n"))
        assert data.input_names == ("a",)
        assert data.notes == ("column 'name' is left out: it holds words ('Io', …)",)

    def test_so_are_mixed_columns_with_fewer_numbers_than_words(self, write):
        data = read_all(write("code,a,y\n12,1,3\nA4,4,9\nB5,7,15\n"))
        assert data.notes == (
            "column 'code' is left out: it holds mostly words ('A4', …); only 1 of its cells are numbers",
        )

    def test_so_are_sparse_columns_of_words_and_empty_columns(self, write):
        data = read_all(write("a,remark,none,y\n1,,,3\n4,calm,,9\n7,,,15\n"))
        assert data.notes == (
            "column 'remark' is left out: it holds words ('calm', …)",
            "column 'none' is left out: it is empty",
        )

    def test_constant_inputs_are_left_out_even_if_named(self, write):
        path = write("a,g,y\n1,9.81,3\n4,9.81,9\n7,9.81,15\n")
        for inputs in (None, ["a", "g"]):
            data = read_all(path, inputs=inputs)
            assert data.input_names == ("a",)
            assert data.notes == ("column 'g' is left out: it is 9.81 in every row",)


class TestRefusals:
    def refused(self, path, message, **options):
        with pytest.raises(DataError) as caught:
            read_all(path, **options)
        text = str(caught.value)
        assert re.search(message, text), text
        assert "\n" not in text
        return text

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "the file is empty, expected a row of column names"),
            (" \n,,\n", "the file is empty"),
            ("a,b,y\n", "there are no rows below the column names"),
            ("a,b,y\n\n,,\n", "there are no rows below the column names"),
            ("a,b,a,y\n1,2,3,4\n", "columns 1 and 3 are both named 'a'; rename"),
            (",a,y\n0,1,2\n", "column 1 has no name in row 1; name it"),
            ("1,2,3\n4,5,6\n", "row 1 has numbers only, expected the names of the columns"),
            ("a,y\n1,2\n3\n", "row 3 has 1 cells, expected 2 as in the header"),
            ("a,y\n1,2\n\n3,4,5\n", "row 4 has 3 cells, expected 2"),
            ("a,y,\n1,2,3\n", "row 2 has 3 cells, expected 2"),
            ("a,y\n1,2\n3,4\n", "there are 2 rows, expected at least 3"),
            ("a,y\n1,2\nx,4\n5,6\n7,8\n", "row 3, column 'a': found 'x', expected a finite number; correct"),
            ("a,y\nx,2\nz,4\n5,6\n7,8\n9,1\n", r"row 2, column 'a': found 'x', .* \(1 more like it in this column\)"),
            ("a,y\n1,2\n3,\n5,6\n7,8\n", "row 3, column 'y': found an empty cell, expected a finite number; fill"),
            ("a,y\n1,2\n  ,3\n5,6\n7,8\n", "row 3, column 'a': found an empty cell"),
            ("a,y\n1,2\nnan,3\n5,6\n7,8\n", "row 3, column 'a': found nan, expected a finite number"),
            ("a,y\n1,2\n2,3\n5,-Inf\n7,8\n", "row 4, column 'y': found -inf"),
            ("a,y\n1,2\n1e999,3\n5,6\n7,8\n", "row 3, column 'a': found inf"),
            ("a;y\n1;2\n2,5;3\n5;6\n7;8\n", "row 3, column 'a': found '2,5', .* write a decimal point"),
            ('a,y\n1,2\n"1,000",3\n5,6\n7,8\n', "found '1,000', .* no thousands separators"),
            ("a,y\n1,2\n1_000,3\n5,6\n7,8\n", "row 3, column 'a': found '1_000'"),
            ("a,y\n1,p\n2,q\n3,r\n", "row 2, column 'y': found 'p'"),
            ("a,y\n1,\n2,\n3,\n", "column 'y' is empty, expected numbers"),
            ("a,y\n1,5\n2,5\n3,5\n", "the target 'y' is 5 in every row, so there is nothing to predict"),
            ("a,b,y\n1,5,1\n2,5,2\n3,4,3\n", "the input 'a' equals the target 'y' in every row and would leak"),
            (
                "n,g,y\nu,5,1\nv,5,2\nw,5,3\n",
                "no column of numbers to predict from; column 'n' is left out: .*; co",
            ),
            ("y\n1\n2\n3\n", "no column of numbers to predict from$"),
            ('a,y\n1,2\n"3,4\n5,6\n', r"the quotes in row 3 do not match \(.*\); close or remove them"),
            ("a,µ,y\n1,2,3\n".encode("latin-1"), "row 1 is not UTF-8 text, expected a CSV file; save"),
            (b"a,y\n1,2\n\xff,3\n", "row 3 is not UTF-8"),
            (b"PK\x03\x04\x00\xfe\xff", "is not UTF-8 text"),
        ],
    )
    def test_files_that_cannot_be_used(self, write, content, message):
        path = write(content)
        assert self.refused(path, message).startswith(str(path))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"target": "Y"}, "there is no column 'Y' for target; did you mean 'y'?; the columns are 'a', 'b', 'y'"),
            ({"target": "zzzz"}, "there is no column 'zzzz' for target; the columns are"),
            ({"inputs": ["a", "bb"]}, "there is no column 'bb' for inputs; did you mean 'b'?"),
            ({"inputs": ["a", "y"]}, "column 'y' is both target and input"),
            ({"inputs": ["a", "a"]}, "inputs names column 'a' 2 times"),
            ({"inputs": []}, "inputs names no column"),
            ({"target": []}, "target names no column; the columns are 'a', 'b', 'y'"),
        ],
    )
    def test_columns_that_cannot_be_chosen(self, write, options, message):
        self.refused(write(PLAIN), re.escape(message), **options)

    def test_the_target_is_suggested_by_its_closest_name(self):
        with pytest.raises(DataError, match="did you mean 'residuary_resistance'"):
            read_table(datasets.path("yacht"), target="Residual_Resistance")

    def test_a_column_of_words_that_was_asked_for(self, write):
        path = write("name,a,y\nIo,1,3\nEuropa,4,9\nTitan,7,15\n")
        self.refused(path, r"row 2, column 'name': found 'Io', .* \(2 more", inputs=["name", "a"])

    def test_long_cells_and_wide_tables_are_cut_short(self, write):
        text = self.refused(write(f"a,y\n1,2\n{'x' * 500},3\n5,6\n7,8\n"), "found 'x+…'")
        assert len(text.removeprefix(str(write("")))) < 200
        wide = ",".join(f"c{place}" for place in range(40))
        self.refused(write(f"{wide}\n{wide.replace('c', '')}\n"), "'c9', and 30 more$")

    def test_files_that_are_none(self, tmp_path):
        self.refused(tmp_path / "no.csv", "there is no such file; check the path")
        self.refused(tmp_path, "this is a folder, expected a CSV file")

    def test_files_that_cannot_be_read(self, write, monkeypatch):
        path = write(PLAIN)

        def refuse(_):
            raise PermissionError(13, os.strerror(13))

        monkeypatch.setattr(type(path), "read_bytes", refuse)
        self.refused(path, "the file cannot be read: Permission denied")

    def test_a_column_that_equals_one_of_several_targets(self, write):
        self.refused(write("a,y,z\n1,5,1\n2,6,2\n3,4,3\n"), "input 'a' equals the target 'z'", target=["y", "z"])


class TestFrames:
    def frame(self, **columns):
        return pd.DataFrame({"a": [1, 2, 3, 4], "y": [1.5, 2.5, 4.5, 3.5]} | columns)

    def test_numbers_booleans_and_words(self):
        frame = self.frame(
            on=[True, False, True, True],
            name=["p", "q", "r", None],
            day=pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", None]),
            kind=pd.Categorical(["u", "v", "u", "v"]),
            object=pd.Series(["u", pd.NA, None, "v"], dtype=object),
            nullable=pd.array([4, 5, 6, 7], dtype="Int64"),
            spelt=["1", "2.5", "3e1", "-4"],
        )
        data = from_frame(frame, target="y", test_fraction=0)
        assert data.input_names == ("a", "on", "nullable", "spelt")
        assert data.train_input[:, 1:].tolist() == [[1, 4, 1], [0, 5, 2.5], [1, 6, 30], [1, 7, -4]]
        assert [note.split("'")[1] for note in data.notes] == ["name", "day", "kind", "object"]

    def test_the_split_is_that_of_files(self, tmp_path):
        frame = self.frame()
        frame.to_csv(tmp_path / "frame.csv", index=False)
        assert from_frame(frame, target="y", seed=7) == read_table(tmp_path / "frame.csv", target="y", seed=7)

    def test_column_names_become_strings(self):
        data = from_frame(pd.DataFrame(np.arange(12.0).reshape(4, 3) ** 2), target="2", test_fraction=0)
        assert (data.input_names, data.target_names) == (("0", "1"), ("2",))

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"a": [1, 2, None, 4]}, r"frame \(rows counted from 0\): row 2, column 'a': found an empty cell"),
            ({"a": pd.array([1, None, 3, 4], dtype="Int64")}, "row 1, column 'a': found an empty cell"),
            ({"a": [True, None, False, True]}, "row 1, column 'a': found an empty cell"),
            ({"a": [1.0, 2.0, 3.0, math.inf]}, "row 3, column 'a': found inf"),
            ({"a": [1, "two", 3, 4]}, "row 1, column 'a': found 'two'"),
            ({"a": [1.5, 2.5, 4.5, 3.5]}, "input 'a' equals the target 'y'"),
            ({"y": [1, 1, 1, 1]}, "target 'y' is 1 in every row"),
        ],
    )
    def test_values_that_cannot_be_used(self, columns, message):
        with pytest.raises(DataError, match=message):
            from_frame(self.frame(**columns), target="y")

    def test_two_columns_of_the_same_name(self):
        frame = pd.DataFrame(np.arange(8.0).reshape(4, 2), columns=["a", "a"])
        with pytest.raises(DataError, match="frame: two columns have the same name") as caught:
            from_frame(frame, target="a")
        assert "\n" not in str(caught.value)
        with pytest.raises(DataError, match="frame: columns 1 and 2 are both named '1'"):
            from_frame(pd.DataFrame([[1, 2]] * 4, columns=[1, "1"]), target="1")

    @pytest.mark.parametrize("thing", [np.ones((4, 2)), pd.Series([1, 2, 3]), {"a": [1]}, "data.csv", None])
    def test_other_things_are_no_frames(self, thing):
        with pytest.raises(DataError, match=r"got a \w+, expected a pandas, Polars or PyArrow table"):
            from_frame(thing, target="y")


class TestBundled:
    def test_orbits(self):
        data = read_table(datasets.path("orbits.csv"), target="period_days")
        assert len(data.train_input) + len(data.test_input) == 59
        assert data.input_names == ("central_mass_kg", "semi_major_axis_km")
        assert len(data.notes) == 2

    def test_yacht(self):
        data = read_table(datasets.path("yacht"), target="residuary_resistance", seed=0)
        assert (data.train_input.shape, data.test_input.shape) == ((246, 6), (62, 6))

    def test_an_unknown_table(self):
        with pytest.raises(DataError, match="no bundled table 'moons'; the bundled ones are orbits, yacht"):
            datasets.path("moons")
