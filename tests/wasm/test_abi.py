"""The definition of the ABI and the code behind it are one."""

from __future__ import annotations

import inspect

import pytest

from conductor.wasm.abi import IMPORTS, Function
from conductor.wasm.hostcalls.wasi import FUNCTIONS, WasiCalls
from conductor.wasm.linker import TOPICS


@pytest.mark.parametrize("function", IMPORTS, ids=lambda one: one.name)
def test_every_import_has_a_method_with_its_parameters(function: Function) -> None:
    owners = [kind for kind in TOPICS.values() if hasattr(kind, function.name)]
    assert len(owners) == 1
    given = [name.rstrip("_") for name in inspect.signature(getattr(owners[0], function.name)).parameters][1:]
    wanted = [name for name, _ in function.parameters]
    assert len(given) == len(wanted)
    shortened = {"name_size": "size", "json": "text", "json_size": "size", "text_size": "size", "data_size": "size"}
    assert given in (wanted, [shortened.get(name, name) for name in wanted])


def test_every_method_of_wasi_is_defined_with_its_parameters() -> None:
    methods = {name for name in vars(WasiCalls) if not name.startswith("_")}
    assert methods <= set(FUNCTIONS)
    for name in methods:
        assert len(inspect.signature(getattr(WasiCalls, name)).parameters) - 1 == len(FUNCTIONS[name][0])
