"""The kernel's BPF world: libbpf through ctypes, bpf(2) where libbpf is too old.

Here: objects, programs, links, maps, batches, ring buffers, pins, features, BTF. Reading maps and rings needs bpf(2)
alone, so the agent runs without libbpf. May import errors, model, ports.
Never here: gRPC, asyncio, decisions about what should be loaded. Handles close once, by `with`.
"""
