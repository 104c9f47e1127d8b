"""Interface selectors in manifests: names, the primary interface, or discovery."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import InterfaceSelector
from conductor.model.manifest_fields import Fields, shown, text_of

__all__ = ["selector_of", "selector_spec_of"]

_DISCOVERY = "interfacesDiscoveryConfig"


def selector_of(fields: Fields) -> InterfaceSelector:
    """Parse `interfaceSelector`: exactly one of its three forms."""
    match fields.one_of("interfaces", "primaryNodeInterface", _DISCOVERY):
        case "interfaces":
            selector = InterfaceSelector(names=fields.texts("interfaces"))
        case "primaryNodeInterface":
            fields.ignore("primaryNodeInterface")  # it can only be true
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
    fields.ignore("interfaceAutoDiscovery")  # it can only be true
    exclude = fields.texts("excludeInterfaces") if fields.has("excludeInterfaces") else ("lo",)
    fields.ignore("excludeInterfaces")
    allow = fields.items("allowedInterfaces", _pattern_of)
    fields.refuse_unknown()
    return InterfaceSelector(discover=True, exclude=exclude, allow=allow)


def _pattern_of(value: object, path: str) -> str:
    text = text_of(value, path, most=256)
    if len(text) > 2 and text[0] == text[-1] == "/":
        try:
            re.compile(text[1:-1])
        except (re.error, OverflowError, RecursionError) as exc:
            raise InvalidSpec(path, f"{shown(value)} is not a regular expression: {exc}") from exc
    return text
