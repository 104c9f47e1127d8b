"""What is asked for in a KernelProgram and a UserProgram."""

from __future__ import annotations

from conductor.model.grants import Access
from conductor.model.kernel import KernelType
from conductor.model.schema.fleet import KERNEL_UPDATE_STRATEGY, NODE_SELECTOR, USER_UPDATE_STRATEGY
from conductor.model.schema.links import SECTION_RULES, SECTIONS
from conductor.model.schema.places import BYTECODE, SOURCE
from conductor.model.schema.rules import QUANTITY, DurationBetween, Matches, QuantityBetween
from conductor.model.schema.tree import Node, amount, free, items, keyed, mapping, record, text, word

__all__ = ["KERNEL_SPEC", "NAME", "NAME_LENGTH", "USER_SPEC"]

NAME_LENGTH = 63
NAME = "^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$"
MAP = r"[A-Za-z0-9_.]*[A-Za-z0-9_][A-Za-z0-9_.]*"
_MAP_RULE = Matches(pattern=MAP, message="must be a map's name: letters, digits, _ and .")
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

_FUNCTION = record(
    "One program of the object: its type, and the section of that type with its links.",
    {
        "name": text("Name of the function in the object.", most=64),
        "type": word("Type of the program.", [kind.value for kind in KernelType]),
        **SECTIONS,
    },
    required=("name", "type"),
    rules=SECTION_RULES,
)

KERNEL_SPEC: Node = record(
    "What is asked for.",
    {
        "nodeSelector": NODE_SELECTOR,
        "bytecode": BYTECODE,
        "globalData": mapping(
            "Bytes of the object's global variables by their names, in base64; set before it is loaded.",
            text("Bytes of one variable.", most=87_384, least=0, pattern=BASE64),
            most=64,
        ),
        "mapOwner": text(
            "Another KernelProgram, whose maps of the same names are used.", most=NAME_LENGTH, pattern=NAME
        ),
        "writableMaps": items(
            "Maps that programs may be allowed to write, beyond ring buffers and queues.",
            text("Name of a map.", most=63, rules=(_MAP_RULE,)),
            most=64,
        ),
        "programs": keyed("Programs of the object; they share its maps.", _FUNCTION, keys=("name",), most=64, least=1),
        "updateStrategy": KERNEL_UPDATE_STRATEGY,
    },
    required=("bytecode", "programs"),
)

_GRANT = record(
    "A map that the program may use.",
    {
        "name": text("What the program calls it.", most=63, rules=(_MAP_RULE,)),
        "kernelProgram": text(
            "The KernelProgram that has the map.", most=63, pattern="^[A-Za-z0-9_]([-_.A-Za-z0-9]*[A-Za-z0-9_.])?$"
        ),
        "map": text("Name of the map there; that of the grant where this is left out.", most=63, rules=(_MAP_RULE,)),
        "access": word(
            "Read, or Consume (ring buffers, queues and stacks: reading takes away), or ReadWrite.",
            [access.word for access in Access],
            default=Access.READ.word,
        ),
    },
    required=("name", "kernelProgram"),
)


def _count(about: str, default: str, least: str, most: str) -> Node:
    rule = QuantityBetween(least=least, most=most, message=f"must be a whole number between {least} and {most}")
    return amount(f"{about}; {default} where this is left out.", pattern=QUANTITY, rules=(rule,))


_LIMITS = record(
    "Hard budget. A program that breaks it is ended or quarantined with the reason; its neighbours are not disturbed.",
    {
        "memory": _count("Bytes of guest memory", "16Mi", "64Ki", "4Gi"),
        "cpu": amount(
            "Seconds of CPU per second, averaged; 100m where this is left out.",
            pattern=QUANTITY,
            rules=(QuantityBetween(least="1m", most="1024", whole=False, message="must be between 1m and 1024"),),
        ),
        "cpuCall": amount(
            "Seconds of CPU of one call, such as 500ms; 1s where this is left out.",
            pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m)$",
            rules=(DurationBetween(least="1ms", most="60s", message="must be between 1ms and 60s"),),
        ),
        "series": _count("Series of metrics", "10k", "0", "10M"),
        "logLines": _count("Log lines per second", "20", "0", "10k"),
        "inbox": _count("Bytes of events that wait for the program", "4Mi", "4Ki", "1Gi"),
        "mapOperations": _count("Map entries read or written per second", "1M", "1", "1G"),
    },
)

USER_SPEC: Node = record(
    "What is asked for.",
    {
        "nodeSelector": NODE_SELECTOR,
        "source": SOURCE,
        "maps": keyed("Maps of kernel programs that the program may use.", _GRANT, keys=("name",), most=64),
        "config": free("Configuration, checked by the program itself.", most=256),
        "limits": _LIMITS,
        "updateStrategy": USER_UPDATE_STRATEGY,
    },
    required=("source",),
)
