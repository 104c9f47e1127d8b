"""Interface selectors in manifests: names, the primary interface, or discovery."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import InterfaceSelector
from conductor.model.manifest_fields import Fields, shown

__all__ = ["selector_of", "selector_spec_of"]

_DISCOVERY = "interfacesDiscoveryConfig"


def selector_of(fields: Fields) -> InterfaceSelector:
    """Parse `interfaceSelector`: exactly one of its three forms."""
    match fields.one_of("interfaces", "primaryNodeInterface", _DISCOVERY):
        case "interfaces":
            names = fields.texts("interfaces", longest=15)
            if not names:
                raise InvalidSpec(fields.at("interfaces"), "empty: name at least one interface")
            selector = InterfaceSelector(names=names)
        case "primaryNodeInterface":
            if not fields.flag("primaryNodeInterface", default=False):
                raise InvalidSpec(fields.at("primaryNodeInterface"), "can only be true; or choose another form")
            selector = InterfaceSelector(primary=True)
        case _:
            selector = _discovery_of(fields.fields(_DISCOVERY))
    fields.refuse_unknown()
    return selector


def selector_spec_of(selector: InterfaceSelector) -> dict[str, Any]:
    """Print `interfaceSelector`."""
    if selector.primary:
        return {"primaryNodeInterface": True}
    if not selector.discover:
        return {"interfaces": list(selector.names)}
    body: dict[str, Any] = {"interfaceAutoDiscovery": True, "excludeInterfaces": list(selector.exclude)}
    if selector.allow:
        body["allowedInterfaces"] = list(selector.allow)
    return {_DISCOVERY: body}


def _discovery_of(fields: Fields) -> InterfaceSelector:
    if not fields.flag("interfaceAutoDiscovery", default=True):
        raise InvalidSpec(fields.at("interfaceAutoDiscovery"), "can only be true; or choose another form")
    exclude = fields.texts("excludeInterfaces") if fields.has("excludeInterfaces") else ("lo",)
    fields.ignore("excludeInterfaces")
    allow = fields.items("allowedInterfaces", _pattern_of)
    fields.refuse_unknown()
    return InterfaceSelector(discover=True, exclude=exclude, allow=allow)


def _pattern_of(value: object, path: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise InvalidSpec(path, f"{shown(value)} is not an interface name or /regular expression/")
    if len(value) > 2 and value[0] == value[-1] == "/":
        try:
            re.compile(value[1:-1])
        except (re.error, OverflowError, RecursionError) as exc:
            raise InvalidSpec(path, f"{shown(value)} is not a regular expression: {exc}") from exc
    return value
