"""Bad manifests, and the very sentences with which the API server refuses them.

The default session holds our own check to this table, the session `cluster` a real API server. What the server adds of
itself (that rules were not checked, causes without a field) is left out on both sides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["BAD", "UNDECODABLE", "Bad", "document", "kernel", "link", "user"]

API_VERSION = "ebpfconductor.io/v1alpha1"
DIGEST = "sha256:" + "0" * 64
ETH0 = {"interfaces": ["eth0"]}
LIBC = {"target": "libc", "function": "malloc"}


class Bad(NamedTuple):
    """A document and why it is refused: field and sentence of each cause."""

    name: str
    document: dict[str, Any]
    causes: tuple[tuple[str, str], ...]


def document(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    """A whole manifest."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"} | metadata, "spec": spec}


def kernel(**spec: Any) -> dict[str, Any]:
    """A KernelProgram; None leaves a field out."""
    body = {"bytecode": {"path": "/x.o"}, "programs": [{"name": "f", "type": "TracePoint"}]} | spec
    return document("KernelProgram", {key: value for key, value in body.items() if value is not None})


def user(**spec: Any) -> dict[str, Any]:
    """A UserProgram."""
    return document("UserProgram", {"source": {"builtin": "service_map"}} | spec)


def link(type_: str, *links: Any, **section: Any) -> dict[str, Any]:
    """A KernelProgram of one program with these links."""
    whole = section | ({"links": list(links)} if links else {})
    return kernel(programs=[{"name": "f", "type": type_, type_.lower(): whole}])


BAD = (
    Bad("no spec", document("UserProgram", None), (("spec", "Required value"),)),
    Bad(
        "a spec that is no object",
        document("UserProgram", []),
        (("spec", 'Invalid value: "array": spec in body must be of type object: "array"'),),
    ),
    Bad(
        "a name with a space",
        document("UserProgram", {"source": {"builtin": "x"}}, name="Bad Name"),
        (
            (
                "metadata.name",
                "Invalid value: \"Bad Name\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
        ),
    ),
    Bad(
        "a name with an underscore",
        document("UserProgram", {"source": {"builtin": "x"}}, name="a_b"),
        (
            (
                "metadata.name",
                "Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
        ),
    ),
    Bad(
        "a long name",
        document("UserProgram", {"source": {"builtin": "x"}}, name="a" * 64),
        (("metadata.name", "Too long: may not be more than 63 bytes"),),
    ),
    Bad(
        "no name",
        document("UserProgram", {"source": {"builtin": "x"}}, name=None),
        (("metadata.name", "Required value: name or generateName is required"),),
    ),
    Bad(
        "a label that is none",
        document("UserProgram", {"source": {"builtin": "x"}}, labels={"a b": "c d"}),
        (
            (
                "metadata.labels",
                "Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
            (
                "metadata.labels",
                "Invalid value: \"c d\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
        ),
    ),
    Bad(
        "a label with a bad prefix",
        document("UserProgram", {"source": {"builtin": "x"}}, labels={"A/x": "y", "a/b/c": "y"}),
        (
            (
                "metadata.labels",
                "Invalid value: \"A/x\": prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (
                "metadata.labels",
                "Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ),
        ),
    ),
    Bad(
        "a long label",
        document("UserProgram", {"source": {"builtin": "x"}}, labels={"a": "x" * 64}),
        (
            (
                "metadata.labels",
                'Invalid value: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": must be no more than 63 bytes',
            ),
        ),
    ),
    Bad(
        "an annotation without a name",
        document("UserProgram", {"source": {"builtin": "x"}}, annotations={"a/": "y"}),
        (
            ("metadata.annotations", 'Invalid value: "a/": name part must be non-empty'),
            (
                "metadata.annotations",
                "Invalid value: \"a/\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
        ),
    ),
    Bad("no source", document("UserProgram", {}), (("spec.source", "Required value"),)),
    Bad("a source that is null", user(source=None), (("spec.source", "Required value"),)),
    Bad("an empty source", user(source={}), (("spec.source", "Invalid value: needs exactly one of builtin, wasm"),)),
    Bad(
        "two sources",
        user(source={"builtin": "x", "wasm": {"path": "/x"}}),
        (("spec.source", "Invalid value: needs exactly one of builtin, wasm"),),
    ),
    Bad(
        "a source that is a number",
        user(source=5),
        (("spec.source", 'Invalid value: "integer": spec.source in body must be of type object: "integer"'),),
    ),
    Bad(
        "a built-in with capitals",
        user(source={"builtin": "X"}),
        (
            (
                "spec.source.builtin",
                "Invalid value: \"X\": spec.source.builtin in body should match '^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$'",
            ),
        ),
    ),
    Bad(
        "a long built-in",
        user(source={"builtin": "a" * 64}),
        (("spec.source.builtin", "Too long: may not be more than 63 bytes"),),
    ),
    Bad(
        "wasm from nowhere",
        user(source={"wasm": {}}),
        (("spec.source.wasm", "Invalid value: needs exactly one of image, path"),),
    ),
    Bad(
        "a relative path",
        user(source={"wasm": {"path": "x.wasm"}}),
        (("spec.source.wasm.path", 'Invalid value: "x.wasm": must be absolute: it begins with /'),),
    ),
    Bad(
        "an empty path",
        user(source={"wasm": {"path": ""}}),
        (
            ("spec.source.wasm.path", 'Invalid value: "": must be absolute: it begins with /'),
            (
                "spec.source.wasm.path",
                'Invalid value: "": spec.source.wasm.path in body should be at least 1 chars long',
            ),
        ),
    ),
    Bad(
        "an image and a digest beside it",
        user(source={"wasm": {"image": {"url": "x"}, "digest": DIGEST}}),
        (("spec.source.wasm", "Invalid value: needs exactly one of image, path"),),
    ),
    Bad(
        "an image without a reference",
        user(source={"wasm": {"image": {}}}),
        (("spec.source.wasm.image.url", "Required value"),),
    ),
    Bad(
        "an empty reference",
        user(source={"wasm": {"image": {"url": ""}}}),
        (
            (
                "spec.source.wasm.image.url",
                'Invalid value: "": spec.source.wasm.image.url in body should be at least 1 chars long',
            ),
        ),
    ),
    Bad(
        "a pull policy that is none",
        user(source={"wasm": {"image": {"url": "x", "pullPolicy": "Sometimes"}}}),
        (
            (
                "spec.source.wasm.image.pullPolicy",
                'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
            ),
        ),
    ),
    Bad(
        "a pull secret that is none",
        user(source={"wasm": {"image": {"url": "x", "pullSecret": "A"}}}),
        (
            (
                "spec.source.wasm.image.pullSecret",
                "Invalid value: \"A\": spec.source.wasm.image.pullSecret in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
            ),
        ),
    ),
    Bad("a grant of nobody", user(maps=[{"name": "a"}]), (("spec.maps[0].kernelProgram", "Required value"),)),
    Bad(
        "a map with a slash",
        user(maps=[{"name": "../a", "kernelProgram": "k"}]),
        (("spec.maps[0].name", 'Invalid value: "../a": must be a map\'s name: letters, digits, _ and .'),),
    ),
    Bad(
        "a map of dots",
        user(maps=[{"name": "..", "kernelProgram": "k"}]),
        (("spec.maps[0].name", 'Invalid value: "..": must be a map\'s name: letters, digits, _ and .'),),
    ),
    Bad(
        "an access in small letters",
        user(maps=[{"name": "a", "kernelProgram": "k", "access": "read"}]),
        (("spec.maps[0].access", 'Unsupported value: "read": supported values: "Read", "Consume", "ReadWrite"'),),
    ),
    Bad(
        "a grant there twice",
        user(maps=[{"name": "a", "kernelProgram": "k"}] * 2),
        (("spec.maps[1]", 'Duplicate value: {"name":"a"}'),),
    ),
    Bad(
        "too many grants",
        user(maps=[{"name": f"a{i}", "kernelProgram": "k"} for i in range(65)]),
        (("spec.maps", "Too many: 65: must have at most 64 items"),),
    ),
    Bad(
        "grants that are an object",
        user(maps={}),
        (("spec.maps", 'Invalid value: "object": spec.maps in body must be of type array: "object"'),),
    ),
    Bad(
        "a grant that is a word",
        user(maps=["x"]),
        (
            ("spec.maps[0]", 'Invalid value: "string": spec.maps[0] in body must be of type object: "string"'),
            ("spec.maps[0]", 'Invalid value: "x": must be an object for an array of list-type map'),
        ),
    ),
    Bad(
        "a grant that is null",
        user(maps=[None]),
        (("spec.maps[0]", 'Invalid value: "null": spec.maps[0] in body must be of type object: "null"'),),
    ),
    Bad(
        "a config that is a list",
        user(config=[]),
        (("spec.config", 'Invalid value: "array": spec.config in body must be of type object: "array"'),),
    ),
    Bad(
        "a config of too many keys",
        user(config={str(i): i for i in range(257)}),
        (("spec.config", "Too many: 257: must have at most 256 items"),),
    ),
    Bad(
        "a quantity that is none",
        user(limits={"memory": "32MB"}),
        (
            (
                "spec.limits.memory",
                "Invalid value: \"32MB\": spec.limits.memory in body should match '^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$'",
            ),
        ),
    ),
    Bad(
        "too much memory",
        user(limits={"memory": "1Ti"}),
        (("spec.limits.memory", 'Invalid value: "1Ti": must be a whole number between 64Ki and 4Gi'),),
    ),
    Bad(
        "too little memory",
        user(limits={"memory": 1}),
        (("spec.limits.memory", "Invalid value: 1: must be a whole number between 64Ki and 4Gi"),),
    ),
    Bad(
        "half a byte",
        user(limits={"memory": "100000500m"}),
        (("spec.limits.memory", 'Invalid value: "100000500m": must be a whole number between 64Ki and 4Gi'),),
    ),
    Bad(
        "less than none",
        user(limits={"series": -1}),
        (("spec.limits.series", "Invalid value: -1: must be a whole number between 0 and 10M"),),
    ),
    Bad(
        "a fraction that is not text",
        user(limits={"cpu": 0.5}),
        (
            (
                "spec.limits.cpu",
                'Invalid value: "number": spec.limits.cpu in body must be of type integer,string: "number"',
            ),
            ("spec.limits.cpu", 'Invalid value: "number": spec.limits.cpu in body must be of type integer: "number"'),
        ),
    ),
    Bad(
        "a quantity that is a flag",
        user(limits={"memory": True}),
        (
            (
                "spec.limits.memory",
                'Invalid value: "boolean": spec.limits.memory in body must be of type integer,string: "boolean"',
            ),
            (
                "spec.limits.memory",
                'Invalid value: "boolean": spec.limits.memory in body must be of type integer: "boolean"',
            ),
        ),
    ),
    Bad(
        "too much CPU",
        user(limits={"cpu": "2k"}),
        (("spec.limits.cpu", 'Invalid value: "2k": must be between 1m and 1024'),),
    ),
    Bad(
        "a call that is too long",
        user(limits={"cpuCall": "2m"}),
        (("spec.limits.cpuCall", 'Invalid value: "2m": must be between 1ms and 60s'),),
    ),
    Bad(
        "a call of no time",
        user(limits={"cpuCall": 0}),
        (("spec.limits.cpuCall", "Invalid value: 0: must be between 1ms and 60s"),),
    ),
    Bad(
        "a duration that is none",
        user(limits={"cpuCall": "1d"}),
        (
            (
                "spec.limits.cpuCall",
                "Invalid value: \"1d\": spec.limits.cpuCall in body should match '^[0-9]+(\\.[0-9]+)?(ms|s|m)$'",
            ),
        ),
    ),
    Bad(
        "two limits that are wrong",
        user(limits={"logLines": "10001", "inbox": "1Ki"}),
        (
            ("spec.limits.inbox", 'Invalid value: "1Ki": must be a whole number between 4Ki and 1Gi'),
            ("spec.limits.logLines", 'Invalid value: "10001": must be a whole number between 0 and 10k'),
        ),
    ),
    Bad(
        "a long quantity",
        user(limits={"memory": "9" * 40}),
        (("spec.limits.memory", "Too long: may not be more than 32 bytes"),),
    ),
    Bad(
        "a share that is none",
        user(updateStrategy={"canary": "1.5"}),
        (
            (
                "spec.updateStrategy.canary",
                "Invalid value: \"1.5\": spec.updateStrategy.canary in body should match '^(100|[1-9]?[0-9])%$'",
            ),
        ),
    ),
    Bad(
        "a share past all",
        user(updateStrategy={"maxUnavailable": "101%"}),
        (
            (
                "spec.updateStrategy.maxUnavailable",
                "Invalid value: \"101%\": spec.updateStrategy.maxUnavailable in body should match '^(100|[1-9]?[0-9])%$'",
            ),
        ),
    ),
    Bad(
        "fewer canaries than none",
        user(updateStrategy={"canary": -1}),
        (
            (
                "spec.updateStrategy.canary",
                "Invalid value: -1: spec.updateStrategy.canary in body should be greater than or equal to 0",
            ),
        ),
    ),
    Bad(
        "nodes that may never change",
        user(updateStrategy={"maxUnavailable": 0}),
        (
            (
                "spec.updateStrategy.maxUnavailable",
                "Invalid value: 0: spec.updateStrategy.maxUnavailable in body should be greater than or equal to 1",
            ),
        ),
    ),
    Bad(
        "more canaries than nodes could be",
        user(updateStrategy={"canary": 2_000_000}),
        (
            (
                "spec.updateStrategy.canary",
                "Invalid value: 2000000: spec.updateStrategy.canary in body should be less than or equal to 1000000",
            ),
        ),
    ),
    Bad(
        "a pause that is a word",
        user(updateStrategy={"pause": "yes"}),
        (
            (
                "spec.updateStrategy.pause",
                'Invalid value: "string": spec.updateStrategy.pause in body must be of type boolean: "string"',
            ),
        ),
    ),
    Bad(
        "a strategy that is none",
        user(updateStrategy={"type": "RollingUpdate"}),
        (
            ("spec.updateStrategy.type", "Too long: may not be more than 8 bytes"),
            ("spec.updateStrategy.type", 'Unsupported value: "RollingUpdate": supported values: "Overlap", "Recreate"'),
        ),
    ),
    Bad(
        "a soak time of days",
        user(updateStrategy={"soak": "25h"}),
        (("spec.updateStrategy.soak", 'Invalid value: "25h": must be between 0s and 24h'),),
    ),
    Bad(
        "a soak time without a unit",
        user(updateStrategy={"soak": "30"}),
        (
            (
                "spec.updateStrategy.soak",
                "Invalid value: \"30\": spec.updateStrategy.soak in body should match '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$'",
            ),
        ),
    ),
    Bad(
        "a soak time that is a number",
        user(updateStrategy={"soak": 30}),
        (
            (
                "spec.updateStrategy.soak",
                'Invalid value: "integer": spec.updateStrategy.soak in body must be of type string: "integer"',
            ),
        ),
    ),
    Bad(
        "In without values",
        user(nodeSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
        (("spec.nodeSelector.matchExpressions[0].values", "Invalid value: operators In and NotIn need values"),),
    ),
    Bad(
        "Exists with values",
        user(nodeSelector={"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
        (
            (
                "spec.nodeSelector.matchExpressions[0].values",
                "Invalid value: operators Exists and DoesNotExist take no values",
            ),
        ),
    ),
    Bad(
        "no values",
        user(nodeSelector={"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}),
        (
            (
                "spec.nodeSelector.matchExpressions[0].values",
                "Invalid value: 0: spec.nodeSelector.matchExpressions[0].values in body should have at least 1 items",
            ),
        ),
    ),
    Bad(
        "an operator that is none",
        user(nodeSelector={"matchExpressions": [{"key": "a", "operator": "Is"}]}),
        (
            (
                "spec.nodeSelector.matchExpressions[0].operator",
                'Unsupported value: "Is": supported values: "In", "NotIn", "Exists", "DoesNotExist"',
            ),
        ),
    ),
    Bad(
        "a key that is none",
        user(nodeSelector={"matchExpressions": [{"key": "a b", "operator": "Exists"}]}),
        (
            (
                "spec.nodeSelector.matchExpressions[0].key",
                "Invalid value: \"a b\": spec.nodeSelector.matchExpressions[0].key in body should match '^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'",
            ),
        ),
    ),
    Bad(
        "a label's value that is a number",
        user(nodeSelector={"matchLabels": {"a": 5}}),
        (
            (
                "spec.nodeSelector.matchLabels.a",
                'Invalid value: "integer": spec.nodeSelector.matchLabels.a in body must be of type string: "integer"',
            ),
        ),
    ),
    Bad(
        "a label's value that is none",
        user(nodeSelector={"matchLabels": {"a": "b c"}}),
        (
            (
                "spec.nodeSelector.matchLabels.a",
                "Invalid value: \"b c\": spec.nodeSelector.matchLabels.a in body should match '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'",
            ),
        ),
    ),
    Bad(
        "too many labels",
        user(nodeSelector={"matchLabels": {str(i): "v" for i in range(65)}}),
        (("spec.nodeSelector.matchLabels", "Too many: 65: must have at most 64 items"),),
    ),
    Bad("no bytecode", kernel(bytecode=None), (("spec.bytecode", "Required value"),)),
    Bad(
        "bytecode from two places",
        kernel(bytecode={"path": "/a", "builtin": "b"}),
        (("spec.bytecode", "Invalid value: needs exactly one of image, builtin, path"),),
    ),
    Bad(
        "bytecode from three places",
        kernel(bytecode={"digest": DIGEST, "builtin": "b", "image": {"url": "x"}}),
        (("spec.bytecode", "Invalid value: needs exactly one of image, builtin, path"),),
    ),
    Bad(
        "a digest of another kind",
        kernel(bytecode={"path": "/a", "digest": "md5:1"}),
        (
            (
                "spec.bytecode.digest",
                "Invalid value: \"md5:1\": spec.bytecode.digest in body should match '^sha256:[0-9a-f]{64}$'",
            ),
        ),
    ),
    Bad(
        "globals that are not base64",
        kernel(globalData={"a": "%%"}),
        (("spec.globalData.a", 'Invalid value: "%%": spec.globalData.a in body must be of type byte: "%%"'),),
    ),
    Bad(
        "globals without padding",
        kernel(globalData={"a": "AQA"}),
        (("spec.globalData.a", 'Invalid value: "AQA": spec.globalData.a in body must be of type byte: "AQA"'),),
    ),
    Bad(
        "globals that are nothing",
        kernel(globalData={"a": ""}),
        (("spec.globalData.a", 'Invalid value: "": spec.globalData.a in body must be of type byte: ""'),),
    ),
    Bad(
        "globals that are large",
        kernel(globalData={"a": "A" * 87_388}),
        (("spec.globalData.a", "Too long: may not be more than 87384 bytes"),),
    ),
    Bad(
        "a map owner with capitals",
        kernel(mapOwner="A"),
        (
            (
                "spec.mapOwner",
                "Invalid value: \"A\": spec.mapOwner in body should match '^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$'",
            ),
        ),
    ),
    Bad(
        "a writable map with a comma",
        kernel(writableMaps=["a,b"]),
        (("spec.writableMaps[0]", 'Invalid value: "a,b": must be a map\'s name: letters, digits, _ and .'),),
    ),
    Bad(
        "a writable map that is a number",
        kernel(writableMaps=[5]),
        (
            (
                "spec.writableMaps[0]",
                'Invalid value: "integer": spec.writableMaps[0] in body must be of type string: "integer"',
            ),
        ),
    ),
    Bad(
        "too many writable maps",
        kernel(writableMaps=["a"] * 65),
        (("spec.writableMaps", "Too many: 65: must have at most 64 items"),),
    ),
    Bad("no programs", kernel(programs=None), (("spec.programs", "Required value"),)),
    Bad(
        "an empty list of programs",
        kernel(programs=[]),
        (("spec.programs", "Invalid value: 0: spec.programs in body should have at least 1 items"),),
    ),
    Bad("a program without a name", kernel(programs=[{"type": "XDP"}]), (("spec.programs[0].name", "Required value"),)),
    Bad(
        "a type that is none",
        kernel(programs=[{"name": "f", "type": "Tracepoint"}]),
        (
            (
                "spec.programs[0].type",
                'Unsupported value: "Tracepoint": supported values: "XDP", "TC", "TCX", "TracePoint", "KProbe", "KRetProbe", "UProbe", "URetProbe", "FEntry", "FExit", "LSM"',
            ),
        ),
    ),
    Bad(
        "a program there twice",
        kernel(programs=[{"name": "f", "type": "XDP"}] * 2),
        (("spec.programs[1]", 'Duplicate value: {"name":"f"}'),),
    ),
    Bad(
        "too many programs",
        kernel(programs=[{"name": f"f{i}", "type": "XDP"} for i in range(65)]),
        (("spec.programs", "Too many: 65: must have at most 64 items"),),
    ),
    Bad(
        "the section of another type",
        kernel(programs=[{"name": "f", "type": "XDP", "tc": {}}]),
        (("spec.programs[0].tc", "Invalid value: is the section of type TC; a program has that of its own type only"),),
    ),
    Bad(
        "no section where one is needed",
        kernel(programs=[{"name": "f", "type": "FEntry"}]),
        (("spec.programs[0].fentry", "Invalid value: type FEntry needs its section fentry, with function"),),
    ),
    Bad("no function", link("FEntry", {"mode": "Attach"}), (("spec.programs[0].fentry.function", "Required value"),)),
    Bad("no hook", link("LSM", {"mode": "Attach"}), (("spec.programs[0].lsm.hook", "Required value"),)),
    Bad(
        "two links where one can be",
        link("FEntry", {}, {}, function="f"),
        (("spec.programs[0].fentry.links", "Too many: 2: must have at most 1 item"),),
    ),
    Bad(
        "too many links",
        link("KProbe", *[{"function": "f"}] * 65),
        (("spec.programs[0].kprobe.links", "Too many: 65: must have at most 64 items"),),
    ),
    Bad(
        "a tracepoint without a group",
        link("TracePoint", {"name": "sys_enter"}),
        (
            (
                "spec.programs[0].tracepoint.links[0].name",
                'Invalid value: "sys_enter": must be GROUP/NAME, like raw_syscalls/sys_enter',
            ),
        ),
    ),
    Bad(
        "a tracepoint that climbs",
        link("TracePoint", {"name": "../x"}),
        (
            (
                "spec.programs[0].tracepoint.links[0].name",
                'Invalid value: "../x": must be GROUP/NAME, like raw_syscalls/sys_enter',
            ),
        ),
    ),
    Bad(
        "a long tracepoint",
        link("TracePoint", {"name": "a/" + "x" * 127}),
        (("spec.programs[0].tracepoint.links[0].name", "Too long: may not be more than 128 bytes"),),
    ),
    Bad("no interfaces", link("XDP", {}), (("spec.programs[0].xdp.links[0].interfaceSelector", "Required value"),)),
    Bad(
        "an empty selector of interfaces",
        link("XDP", {"interfaceSelector": {}}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector",
                "Invalid value: needs exactly one of interfaces, primaryNodeInterface, interfacesDiscoveryConfig",
            ),
        ),
    ),
    Bad(
        "an empty list of interfaces",
        link("XDP", {"interfaceSelector": {"interfaces": []}}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector.interfaces",
                "Invalid value: 0: spec.programs[0].xdp.links[0].interfaceSelector.interfaces in body should have at least 1 items",
            ),
        ),
    ),
    Bad(
        "two forms of interfaces",
        link("XDP", {"interfaceSelector": {**ETH0, "primaryNodeInterface": True}}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector",
                "Invalid value: needs exactly one of interfaces, primaryNodeInterface, interfacesDiscoveryConfig",
            ),
        ),
    ),
    Bad(
        "a long interface",
        link("XDP", {"interfaceSelector": {"interfaces": ["x" * 16]}}),
        (("spec.programs[0].xdp.links[0].interfaceSelector.interfaces[0]", "Too long: may not be more than 15 bytes"),),
    ),
    Bad(
        "not the primary interface",
        link("XDP", {"interfaceSelector": {"primaryNodeInterface": False}}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector.primaryNodeInterface",
                "Invalid value: false: can only be true; or choose another form",
            ),
        ),
    ),
    Bad(
        "no discovery",
        link("XDP", {"interfaceSelector": {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": False}}}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector.interfacesDiscoveryConfig.interfaceAutoDiscovery",
                "Invalid value: false: can only be true; or choose another form",
            ),
        ),
    ),
    Bad(
        "a priority past 1000",
        link("XDP", {"interfaceSelector": ETH0, "priority": 1001}),
        (
            (
                "spec.programs[0].xdp.links[0].priority",
                "Invalid value: 1001: spec.programs[0].xdp.links[0].priority in body should be less than or equal to 1000",
            ),
        ),
    ),
    Bad(
        "a priority below 0",
        link("XDP", {"interfaceSelector": ETH0, "priority": -1}),
        (
            (
                "spec.programs[0].xdp.links[0].priority",
                "Invalid value: -1: spec.programs[0].xdp.links[0].priority in body should be greater than or equal to 0",
            ),
        ),
    ),
    Bad(
        "a priority that is a fraction",
        link("XDP", {"interfaceSelector": ETH0, "priority": 1.5}),
        (
            (
                "spec.programs[0].xdp.links[0].priority",
                'Invalid value: "number": spec.programs[0].xdp.links[0].priority in body must be of type integer: "number"',
            ),
        ),
    ),
    Bad(
        "a priority that is text",
        link("XDP", {"interfaceSelector": ETH0, "priority": "5"}),
        (
            (
                "spec.programs[0].xdp.links[0].priority",
                'Invalid value: "string": spec.programs[0].xdp.links[0].priority in body must be of type integer: "string"',
            ),
        ),
    ),
    Bad(
        "a verdict of another hook",
        link("XDP", {"interfaceSelector": ETH0, "proceedOn": ["Pipe"]}),
        (
            (
                "spec.programs[0].xdp.links[0].proceedOn[0]",
                'Unsupported value: "Pipe": supported values: "Aborted", "Drop", "Pass", "TX", "ReDirect", "DispatcherReturn"',
            ),
        ),
    ),
    Bad(
        "no direction",
        link("TC", {"interfaceSelector": ETH0}),
        (("spec.programs[0].tc.links[0].direction", "Required value"),),
    ),
    Bad(
        "a direction that is none",
        link("TC", {"interfaceSelector": ETH0, "direction": "in"}),
        (
            (
                "spec.programs[0].tc.links[0].direction",
                'Unsupported value: "in": supported values: "Ingress", "Egress", "ingress", "egress"',
            ),
        ),
    ),
    Bad(
        "a network namespace by its name",
        link("TCX", {"interfaceSelector": ETH0, "direction": "Egress", "netns": "blue"}),
        (("spec.programs[0].tcx.links[0].netns", 'Invalid value: "blue": must be absolute, like /run/netns/NAME'),),
    ),
    Bad(
        "two kinds of network namespaces",
        link("XDP", {"interfaceSelector": ETH0, "netns": "/n", "networkNamespaces": {"podUIDs": ["0" * 32]}}),
        (
            (
                "spec.programs[0].xdp.links[0].networkNamespaces",
                "Invalid value: give networkNamespaces or netns, not both",
            ),
        ),
    ),
    Bad(
        "another namespace's primary interface",
        link("XDP", {"interfaceSelector": {"primaryNodeInterface": True}, "netns": "/n"}),
        (
            (
                "spec.programs[0].xdp.links[0].interfaceSelector",
                "Invalid value: interfaces in another network namespace must be named, as in interfaces: [eth0]: to list them is to enter it, which takes CAP_SYS_ADMIN that the agent never has, and bpfman's API does not list them",
            ),
        ),
    ),
    Bad(
        "a kprobe before its function",
        link("KProbe", {"function": "f", "offset": -1}),
        (
            (
                "spec.programs[0].kprobe.links[0].offset",
                "Invalid value: -1: spec.programs[0].kprobe.links[0].offset in body should be greater than or equal to 0",
            ),
        ),
    ),
    Bad(
        "a uprobe of nothing",
        link("UProbe", {"target": "libc"}),
        (
            (
                "spec.programs[0].uprobe.links[0].function",
                "Invalid value: needs a function (symbol), an offset, or both",
            ),
        ),
    ),
    Bad(
        "a uprobe without a target",
        link("URetProbe", {"function": "f"}),
        (("spec.programs[0].uretprobe.links[0].target", "Required value"),),
    ),
    Bad(
        "no process",
        link("UProbe", {**LIBC, "pid": 0}),
        (
            (
                "spec.programs[0].uprobe.links[0].pid",
                "Invalid value: 0: spec.programs[0].uprobe.links[0].pid in body should be greater than or equal to 1",
            ),
        ),
    ),
    Bad(
        "a container and containers",
        link("UProbe", {**LIBC, "containerPid": 1, "containers": {"podUIDs": ["0" * 32]}}),
        (("spec.programs[0].uprobe.links[0].containers", "Invalid value: give containers or containerPid, not both"),),
    ),
    Bad(
        "containers of nothing",
        link("UProbe", {**LIBC, "containers": {}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers",
                "Invalid value: selects nothing: give podUIDs or containerIDs",
            ),
        ),
    ),
    Bad(
        "a pod's UID that is none",
        link("UProbe", {**LIBC, "containers": {"podUIDs": ["x"]}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.podUIDs[0]",
                "Invalid value: \"x\": spec.programs[0].uprobe.links[0].containers.podUIDs[0] in body should match '^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32})$'",
            ),
        ),
    ),
    Bad(
        "a container's id that is none",
        link("UProbe", {**LIBC, "containers": {"containerIDs": ["abc"]}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.containerIDs[0]",
                "Invalid value: \"abc\": spec.programs[0].uprobe.links[0].containers.containerIDs[0] in body should match '^([a-z0-9-]+://)?[0-9a-f]{64}$'",
            ),
        ),
    ),
    Bad(
        "several at once",
        kernel(bytecode={"path": "a"}, mapOwner="A", writableMaps=["a b"]),
        (
            ("spec.bytecode.path", 'Invalid value: "a": must be absolute: it begins with /'),
            (
                "spec.mapOwner",
                "Invalid value: \"A\": spec.mapOwner in body should match '^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$'",
            ),
            ("spec.writableMaps[0]", 'Invalid value: "a b": must be a map\'s name: letters, digits, _ and .'),
        ),
    ),
    Bad(
        "a blocking one hides rules",
        kernel(bytecode={"path": "a"}, mapOwner=5),
        (("spec.mapOwner", 'Invalid value: "integer": spec.mapOwner in body must be of type string: "integer"'),),
    ),
)

UNDECODABLE = (
    Bad("an unknown field", user(sorce=1), (("spec.sorce", 'unknown field "spec.sorce"'),)),
    Bad(
        "two unknown fields",
        user(sorce=1, colour={"a": 1}),
        (
            ("spec.colour", 'unknown field "spec.colour"'),
            ("spec.sorce", 'unknown field "spec.sorce"'),
        ),
    ),
    Bad(
        "an unknown field hides what else is wrong",
        user(sorce=1, source=5, maps=[{"nam": "a"}]),
        (
            ("spec.maps[0].nam", 'unknown field "spec.maps[0].nam"'),
            ("spec.sorce", 'unknown field "spec.sorce"'),
        ),
    ),
    Bad("an unknown limit", user(limits={"cpus": 1}), (("spec.limits.cpus", 'unknown field "spec.limits.cpus"'),)),
    Bad(
        "a selector of another kind",
        user(nodeSelector={"zone": "a"}),
        (("spec.nodeSelector.zone", 'unknown field "spec.nodeSelector.zone"'),),
    ),
    Bad(
        "an unknown field far down",
        link("KRetProbe", {"function": "f", "offset": 1}),
        (("spec.programs[0].kretprobe.links[0].offset", 'unknown field "spec.programs[0].kretprobe.links[0].offset"'),),
    ),
    Bad(
        "what bpfman selects pods by",
        link("UProbe", {**LIBC, "containers": {"containerNames": ["a"]}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.containerNames",
                'unknown field "spec.programs[0].uprobe.links[0].containers.containerNames"',
            ),
        ),
    ),
    Bad(
        "a section that is none",
        kernel(programs=[{"name": "f", "type": "XDP", "perf": {}}]),
        (("spec.programs[0].perf", 'unknown field "spec.programs[0].perf"'),),
    ),
    Bad(
        "an unknown field of the status",
        user() | {"status": {"ready": 1}},
        (("status.ready", 'unknown field "status.ready"'),),
    ),
    Bad("an unknown field beside the spec", user() | {"spce": {}}, (("spce", 'unknown field "spce"'),)),
    Bad(
        "an unknown field of the metadata",
        document("UserProgram", {"source": {"builtin": "x"}}, nme="x"),
        (("metadata.nme", 'unknown field "metadata.nme"'),),
    ),
    Bad(
        "a name that is a number",
        document("UserProgram", {"source": {"builtin": "x"}}, name=5),
        (("metadata.name", "json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"),),
    ),
    Bad(
        "labels that are a list",
        document("UserProgram", {"source": {"builtin": "x"}}, labels=[]),
        (
            (
                "metadata.labels",
                "json: cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string",
            ),
        ),
    ),
    Bad(
        "a label that is a number",
        document("UserProgram", {"source": {"builtin": "x"}}, labels={"a": 5}),
        (("metadata.labels.a", "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),),
    ),
    Bad(
        "an annotation that is a flag",
        document("UserProgram", {"source": {"builtin": "x"}}, annotations={"a": True}),
        (
            (
                "metadata.annotations.a",
                "json: cannot unmarshal bool into Go struct field ObjectMeta.annotations of type string",
            ),
        ),
    ),
    Bad(
        "metadata that is a number",
        user() | {"metadata": 5},
        (("metadata", "json: cannot unmarshal number into Go value of type v1.ObjectMeta"),),
    ),
)
"""Documents that cannot be read as their kind: the server names no field but in its sentence, our field is beside it."""
