"""The one road to the kernel: an async client of `bpfman.v1.Bpfman`, spoken by bpfman and by our loader.

May import errors, model, ports, proto. Generated messages stay inside `wire.py`. Never here: what should be loaded.
"""
