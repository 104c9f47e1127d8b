from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import ImageUnusable, InvalidSpec
from conductor.model.image import Credentials, Descriptor, Platform, Reference

DIGEST = f"sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("owner/image", "docker.io/owner/image:latest"),
        ("ghcr.io/a/b:v1", "ghcr.io/a/b:v1"),
        ("GHCR.io/a/b:v1", "ghcr.io/a/b:v1"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b/c:V_1.2-x", "localhost:5000/a/b/c:V_1.2-x"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        (f"quay.io/a/b:v1@{DIGEST}", f"quay.io/a/b:v1@{DIGEST}"),
        ("registry.example/a__b/c-d.e", "registry.example/a__b/c-d.e:latest"),
    ],
)
def test_a_reference_is_read_as_people_write_it(written: str, meant: str) -> None:
    found = Reference.parse(written)
    assert str(found) == meant
    assert Reference.parse(meant) == found


@pytest.mark.parametrize(
    "written",
    [
        "",
        "https://ghcr.io/a/b",
        "ghcr.io/",
        "ghcr.io/A/b",
        "ghcr.io/a//b",
        "ghcr.io/a/../b",
        "ghcr.io/a/b:",
        "ghcr.io/a/b:-x",
        "ghcr.io/a/b@sha256:short",
        f"ghcr.io/a/b@sha512:{'ab' * 64}",
        "ghcr.io:99999/a",
        "ghcr.io/a b",
        "a..b/c",
        "user@host.example/a",
        "host.example/a?x=1",
        "host.example/a#x",
        "host.example/a\n",
        "x" * 2000,
    ],
)
def test_what_is_no_reference_is_refused_by_its_field(written: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Reference.parse(written)
    assert caught.value.field == "image.url"
    assert len(str(caught.value)) < 400


@given(st.text(max_size=60))
def test_a_reference_prints_what_it_reads_back(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InvalidSpec:
        return
    assert Reference.parse(str(found)) == found


def test_a_digest_names_one_thing_without_its_tag() -> None:
    assert str(Reference.parse("ghcr.io/a/b:v1").at(DIGEST)) == f"ghcr.io/a/b@{DIGEST}"
    assert str(Reference.parse(f"ghcr.io/a/b@{DIGEST}").tagged("v2")) == "ghcr.io/a/b:v2"


def test_a_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(Credentials("bob", "hunter2"))
    assert Credentials("<token>", "x").is_identity_token


def test_a_descriptor_reads_back_what_it_prints() -> None:
    found = Descriptor("application/wasm", DIGEST, 7, {"a": "b"}, "application/x", Platform("linux", "arm64", "v8"))
    assert Descriptor.parse(found.printed(), "layers[0]") == found


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"digest": "sha256:x", "size": 1},
        {"digest": DIGEST},
        {"digest": DIGEST, "size": -1},
        {"digest": DIGEST, "size": True},
        {"digest": DIGEST, "size": "7"},
        {"digest": DIGEST, "size": 1, "mediaType": 5},
        {"digest": DIGEST, "size": 1, "annotations": {"a": 1}},
        {"digest": DIGEST, "size": 1, "annotations": ["a"]},
        {"digest": DIGEST, "size": 1, "platform": "linux/amd64"},
    ],
)
def test_what_is_no_descriptor_is_refused_by_its_place(raw: object) -> None:
    with pytest.raises(ImageUnusable, match=r"layers\[0\]"):
        Descriptor.parse(raw, "layers[0]")
