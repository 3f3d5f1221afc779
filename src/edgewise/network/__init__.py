"""Layers, blocks and networks: specification, forward and trace."""

from edgewise.network.basis_block import BasisBlock
from edgewise.network.block import Block, edge_list
from edgewise.network.layer import Domain, KANLayer, domain_grid, linear_coefficients
from edgewise.network.network import SAMPLE_SIZE, Network, Options, check_names
from edgewise.network.nodes import NodeWidth, arities, subnodes
from edgewise.network.start import small_random_coefficients
from edgewise.network.symbolic_block import SymbolicBlock
from edgewise.network.trace import LayerTrace, Trace

__all__ = [
    "SAMPLE_SIZE",
    "BasisBlock",
    "Block",
    "Domain",
    "KANLayer",
    "LayerTrace",
    "Network",
    "NodeWidth",
    "Options",
    "SymbolicBlock",
    "Trace",
    "arities",
    "check_names",
    "domain_grid",
    "edge_list",
    "linear_coefficients",
    "small_random_coefficients",
    "subnodes",
]
