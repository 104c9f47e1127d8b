"""The network world: interfaces and network namespaces by pyroute2.

May import errors, model, ports. Never here: BPF, decisions.
"""
