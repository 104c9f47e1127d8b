"""Bad UserPrograms, and the very sentences with which the API server refuses them."""

from __future__ import annotations

from tests.model.bad_parts import DIGEST, Bad, document, user

__all__ = ["USER_PROGRAMS"]

USER_PROGRAMS = (
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
)
