"""Pytest plugin: run the tests on the extension named by EDGEWISE_SANITIZED instead of the installed one."""

import importlib.machinery
import importlib.util
import os
import sys

import torch  # noqa: F401 - first, so that its OpenMP runtime is the one in use

_NAME = "edgewise.kernels._cpu"
_loader = importlib.machinery.ExtensionFileLoader(_NAME, os.environ["EDGEWISE_SANITIZED"])
_spec = importlib.util.spec_from_loader(_NAME, _loader)
assert _spec is not None
sys.modules[_NAME] = importlib.util.module_from_spec(_spec)
_loader.exec_module(sys.modules[_NAME])
