"""eBPFConductor: many eBPF tools on every node, run safely and cheaply by one process.

A newcomer reads `agent.py` first: it is the composition root and shows everything that lives in one process.
Words are in `model`, decisions in `plan`, owners of live things in `managers`, doors in `api` and `cli`, and the
worlds outside (kernel, network, daemon) each in a package of their own. `tests/test_layers.py` keeps them apart.
"""

__version__ = "0.1.0"
