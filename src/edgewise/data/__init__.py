"""Data: `Dataset`, and the ways to one from functions, files, frames and arrays."""

from edgewise.data.dataset import Dataset, as_dataset, inputs_by_name
from edgewise.data.scaling import column_transforms, spans_decades
from edgewise.data.synthetic import create_dataset
from edgewise.data.table import Table, from_frame, read_table

__all__ = [
    "Dataset",
    "Table",
    "as_dataset",
    "column_transforms",
    "create_dataset",
    "from_frame",
    "inputs_by_name",
    "read_table",
    "spans_decades",
]
