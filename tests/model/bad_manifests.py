"""Bad manifests, and the very sentences with which the API server refuses them.

The default session holds our own check to this table, the session `cluster` a real API server. What the server adds of
itself (that rules were not checked, causes without a field) is left out on both sides.
"""

from __future__ import annotations

from tests.model.bad_containers import CONTAINERS
from tests.model.bad_kernel_programs import KERNEL_PROGRAMS
from tests.model.bad_parts import ETH0, LIBC, Bad, document, kernel, link, user
from tests.model.bad_user_programs import USER_PROGRAMS

__all__ = ["BAD", "UNDECODABLE", "Bad", "document", "kernel", "link", "user"]

BAD = (*USER_PROGRAMS, *KERNEL_PROGRAMS, *CONTAINERS)

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
        "names of containers for a network that they share",
        link("TC", {"interfaceSelector": ETH0, "networkNamespaces": {"pods": {}, "containerNames": ["a"]}}),
        (
            (
                "spec.programs[0].tc.links[0].networkNamespaces.containerNames",
                'unknown field "spec.programs[0].tc.links[0].networkNamespaces.containerNames"',
            ),
        ),
    ),
    Bad(
        "pods by what is no selector",
        link("UProbe", {**LIBC, "containers": {"pods": {"app": "a"}}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.pods.app",
                'unknown field "spec.programs[0].uprobe.links[0].containers.pods.app"',
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
