"""Programs that come with the agent: one stem each, `NAME.py` and, with a kernel half, `NAME.bpf.c` and `NAME.bpf.o`.

May import errors, model, ports and numpy. Importing a module runs nothing and registers nothing: `BUILTINS` is a
literal tuple.
"""
