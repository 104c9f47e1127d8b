"""Owners of live things. Each manager is the sole writer of its piece of the world.

Three verbs: `running(...)` is its lifetime, `observed()` its snapshot, `converge(...)` makes the world as wished.
May import errors, model, plan, ports, config, builtin, exporter. Worlds come in through ports.
"""
