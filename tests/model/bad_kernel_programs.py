"""Bad KernelPrograms, and the very sentences with which the API server refuses them."""

from __future__ import annotations

from tests.model.bad_parts import DIGEST, ETH0, LIBC, Bad, kernel, link

__all__ = ["KERNEL_PROGRAMS"]

KERNEL_PROGRAMS = (
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
        (
            (
                "spec.globalData.a",
                "Invalid value: \"%%\": spec.globalData.a in body should match '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'",
            ),
        ),
    ),
    Bad(
        "globals without padding",
        kernel(globalData={"a": "AQA"}),
        (
            (
                "spec.globalData.a",
                "Invalid value: \"AQA\": spec.globalData.a in body should match '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'",
            ),
        ),
    ),
    Bad(
        "globals that are a number",
        kernel(globalData={"a": 5}),
        (
            (
                "spec.globalData.a",
                'Invalid value: "integer": spec.globalData.a in body must be of type string: "integer"',
            ),
        ),
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
    Bad(
        "a kernel program that ends first",
        kernel(updateStrategy={"type": "Recreate", "canary": 1}),
        (
            (
                "spec.updateStrategy.type",
                'Invalid value: "Recreate": a KernelProgram is replaced make before break; leave type out',
            ),
        ),
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
