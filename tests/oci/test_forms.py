"""Every form that registries hold, as published: what is accepted, and what a refusal says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import ImageUnusable
from conductor.model.image import ImageKind
from conductor.oci.forms import Family, Form, classify, kind_of
from tests.oci.image_parts import (
    CORE,
    DOCKER_CONFIG,
    DOCKER_TAR,
    OCI_CONFIG,
    OCI_TAR,
    bpf_object,
    container_config,
    manifest,
    tgz,
)

WASM, BYTECODE = ImageKind.WASM, ImageKind.BYTECODE
LABELS = {"io.ebpf.programs": '{"count": "xdp"}', "io.ebpf.maps": '{"counts": "hash"}'}
CNCF = ("application/vnd.wasm.config.v0+json", b'{"architecture":"wasm","os":"wasip1"}')
A_LAYER = ("application/wasm", CORE)
SOLO = "application/vnd.module.wasm.config.v1+json"


def wasm(manifest_: dict[str, Any], config: bytes = b"{}") -> Form:
    return classify(manifest_, config, wanted=WASM)


def refusal(manifest_: dict[str, Any], config: bytes = b"{}", wanted: ImageKind = WASM) -> str:
    with pytest.raises(ImageUnusable) as caught:
        classify(manifest_, config, wanted=wanted)
    return str(caught.value)


def test_cncf_artifact_is_family_a() -> None:
    form = wasm(manifest(A_LAYER, config=CNCF, annotations={"a": "b"}), CNCF[1])
    assert (form.family, form.archived, form.annotations) == (Family.CNCF, False, {"a": "b"})


def test_wasm_to_oci_is_family_b() -> None:
    layer = ("application/vnd.wasm.content.layer.v1+wasm", CORE)
    assert wasm(manifest(layer, config=("application/vnd.wasm.config.v1+json", b"{}"))).family is Family.WASM_TO_OCI


def test_istio_oci_is_family_c_and_its_config_layer_is_no_module() -> None:
    module = ("application/vnd.module.wasm.content.layer.v1+wasm", CORE)
    form = wasm(manifest((SOLO, b"{}"), module))
    assert form.family is Family.SOLO
    assert [layer.media_type for layer in form.layers] == [module[0]]


def test_solo_config_where_a_config_belongs_is_family_c() -> None:
    module = ("application/vnd.module.wasm.content.layer.v1+wasm", CORE)
    assert wasm(manifest(module, config=(SOLO, b"{}"))).family is Family.SOLO


@pytest.mark.parametrize(("config_type", "layer_type"), [(OCI_CONFIG, OCI_TAR), (DOCKER_CONFIG, DOCKER_TAR)])
def test_container_image_with_a_plugin_is_family_d_and_only_its_last_layer_counts(
    config_type: str, layer_type: str
) -> None:
    config = container_config()
    form = wasm(
        manifest((layer_type, b"base"), (layer_type, tgz({"plugin.wasm": CORE})), config=(config_type, config)), config
    )
    assert (form.family, form.archived, form.names[0], len(form.layers)) == (Family.COMPAT, True, "plugin.wasm", 1)


def test_documents_below_the_plugin_are_no_hindrance() -> None:
    form = wasm(manifest(("application/wasm-spec", b"x"), (OCI_TAR, b"y")))
    assert (form.family, [layer.media_type for layer in form.layers]) == (Family.COMPAT, [OCI_TAR])


@pytest.mark.parametrize("os", ["wasi", "wasip1", "wasip2"])
def test_container_for_wasi_is_family_e_named_by_its_entry_point(os: str) -> None:
    config = container_config(architecture="wasm", os=os, entrypoint=["/app/counter.wasm", "--quiet"])
    form = wasm(manifest((OCI_TAR, b"low"), (OCI_TAR, b"top"), config=(OCI_CONFIG, config)), config)
    assert (form.family, form.names[0]) == (Family.CONTAINER, "counter.wasm")
    assert [layer.size for layer in form.layers] == [3, 3]


def test_runwasi_interim_is_family_f() -> None:
    layer = ("application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", CORE)
    form = wasm(
        manifest(layer, config=(OCI_CONFIG, b"{}"), artifactType="application/vnd.bytecodealliance.module.v1+wasm")
    )
    assert form.family is Family.RUNWASI


def test_a_layer_of_no_known_type_is_told_by_the_config() -> None:
    assert wasm(manifest(("application/octet-stream", CORE), config=CNCF), CNCF[1]).family is Family.CNCF


def test_a_layer_and_config_of_no_known_type_are_told_by_the_artifact_type() -> None:
    artifact = "application/vnd.wasm.config.v0+json"
    assert wasm(manifest(("application/octet-stream", CORE), artifactType=artifact)).family is Family.CNCF


def test_the_layer_decides_before_the_config() -> None:
    layer = ("application/vnd.wasm.content.layer.v1+wasm", CORE)
    assert wasm(manifest(layer, config=CNCF), CNCF[1]).family is Family.WASM_TO_OCI


def test_two_modules_are_refused_in_family_a() -> None:
    assert "2 layers where exactly one" in refusal(manifest(A_LAYER, A_LAYER, config=CNCF), CNCF[1])


def test_a_layer_beside_the_module_is_refused_in_family_b() -> None:
    layer = ("application/vnd.wasm.content.layer.v1+wasm", CORE)
    assert "2 layers where exactly one" in refusal(manifest(layer, ("application/octet-stream", b"data")))


@pytest.mark.parametrize("config", [{"os": "wasip2"}, {"os": "wasip1", "component": {"imports": ["wasi:http/types"]}}])
def test_a_component_is_refused_before_it_is_fetched(config: dict[str, Any]) -> None:
    body = json.dumps(config).encode()
    said = refusal(manifest(A_LAYER, config=(CNCF[0], body)), body)
    assert "is not run here" in said
    assert "build a core module" in said


@pytest.mark.parametrize(
    ("config_type", "layer_type", "named"),
    [
        (
            "application/vnd.fermyon.spin.application.v1+config",
            "application/vnd.wasm.content.layer.v1+wasm",
            "Spin application",
        ),
        (OCI_CONFIG, "application/vnd.fermyon.spin.application.v1+config", "Spin application"),
        ("application/vnd.gadget.config.v1+yaml", "application/vnd.gadget.ebpf.program.v1+binary", "Inspektor Gadget"),
        ("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "Helm"),
    ],
)
@pytest.mark.parametrize("wanted", ImageKind)
def test_strangers_are_named(config_type: str, layer_type: str, named: str, wanted: ImageKind) -> None:
    said = refusal(manifest((layer_type, CORE), config=(config_type, b"{}")), wanted=wanted)
    assert named in said
    assert "accepted is" in said


def test_zstd_is_refused_with_a_way_out() -> None:
    said = refusal(manifest(("application/vnd.oci.image.layer.v1.tar+zstd", b"x")), wanted=BYTECODE)
    assert "zstd; push it with gzip" in said


def test_unknown_layers_are_shown_as_found_and_harmless() -> None:
    said = refusal(manifest(("application/x\x1b[2J", b"x"), ("text/plain", b"y")))
    assert "'text/plain'" in said
    assert "\x1b" not in said
    assert "accepted is a core wasm module" in said


@pytest.mark.parametrize(("config_type", "layer_type"), [(OCI_CONFIG, OCI_TAR), (DOCKER_CONFIG, DOCKER_TAR)])
def test_labelled_bytecode(config_type: str, layer_type: str) -> None:
    config = container_config(LABELS)
    form = classify(manifest((layer_type, b"x"), config=(config_type, config)), config, wanted=BYTECODE)
    assert (form.family, form.functions, form.maps) == (Family.BYTECODE, {"count": "xdp"}, {"counts": "hash"})


def test_old_labels_of_bytecode() -> None:
    config = container_config(
        {
            "io.ebpf.program_name": "pass",
            "io.ebpf.bpf_function_name": "xdp_pass",
            "io.ebpf.program_type": "xdp",
            "io.ebpf.filename": "xdp_pass_bpf.o",
        }
    )
    form = classify(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config, wanted=BYTECODE)
    assert (form.functions, form.names) == ({"xdp_pass": "xdp"}, ("xdp_pass_bpf.o",))


def test_bare_bytecode_has_no_labels() -> None:
    config = container_config()
    form = classify(manifest((OCI_TAR, bpf_object()), config=(OCI_CONFIG, config)), config, wanted=BYTECODE)
    assert (form.family, form.functions) == (Family.BYTECODE, {})


def test_bytecode_in_two_layers_is_refused() -> None:
    config = container_config(LABELS)
    said = refusal(manifest((OCI_TAR, b"x"), (OCI_TAR, b"y"), config=(OCI_CONFIG, config)), config, BYTECODE)
    assert "2 layers where one" in said


@pytest.mark.parametrize("label", ["xdp_pass", '["a"]', '{"a": 1}', "[" * 10_000])
def test_a_label_that_is_no_table_is_refused(label: str) -> None:
    config = container_config({"io.ebpf.programs": label})
    said = refusal(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config, BYTECODE)
    assert "io.ebpf.programs" in said
    assert '{"count_packets": "xdp"}' in said


def test_the_wrong_half_is_told_where_it_belongs() -> None:
    config = container_config(LABELS)
    assert "bytecode of a KernelProgram" in refusal(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config)
    assert "module of a UserProgram" in refusal(manifest(A_LAYER, config=CNCF), CNCF[1], BYTECODE)
    config = container_config(architecture="wasm", os="wasip1")
    said = refusal(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config, BYTECODE)
    assert "module of a UserProgram" in said


def test_schema_1_is_refused() -> None:
    assert "schema 1" in refusal({"schemaVersion": 1, "fsLayers": []})


def test_a_guess_needs_no_wish() -> None:
    config = container_config(LABELS)
    assert kind_of(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config) is BYTECODE
    assert kind_of(manifest(A_LAYER, config=CNCF), CNCF[1]) is WASM
    config = container_config()
    assert kind_of(manifest((OCI_TAR, b"x"), config=(OCI_CONFIG, config)), config) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["application/wasm", OCI_TAR, SOLO, OCI_CONFIG, CNCF[0], "text/plain"])
DESCRIPTORS = JSON | st.builds(lambda kind, body: {**manifest((kind, body))["layers"][0]}, TYPES, st.binary(max_size=4))


@given(
    manifest_=st.fixed_dictionaries(
        {},
        optional={
            "schemaVersion": JSON,
            "config": DESCRIPTORS,
            "layers": JSON | st.lists(DESCRIPTORS, max_size=3),
            "annotations": JSON,
            "artifactType": JSON | TYPES,
        },
    ),
    config=st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), JSON),
    wanted=st.sampled_from(ImageKind),
)
def test_whatever_a_registry_sends_becomes_a_form_or_a_refusal(
    manifest_: dict[str, Any], config: bytes, wanted: ImageKind
) -> None:
    try:
        form = classify(manifest_, config, wanted=wanted)
    except ImageUnusable:
        return
    assert form.layers
    assert form.kind is wanted
