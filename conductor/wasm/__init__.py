"""The wasm world: core modules on wasmtime, batch-fed and budgeted.

Here: the ABI `conductor_v1` (defined once, in `abi.py`), the engine, compilation in a child, instances and their host
functions, the pump of ring buffers. May import errors, model, ports. Never here: what should run, images, gRPC.
"""
