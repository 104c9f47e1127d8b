"""Layers unpacked: as published, cut short, made to harm, and drawn at random."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import ImageTooLarge, ImageUnusable
from conductor.model.image import ImageKind
from conductor.oci.unpack import Member, UnpackLimits, choose_member, extract, survey
from tests.oci.image_parts import CORE, bpf_object, tar, tar_of, tgz

WASM, BYTECODE = ImageKind.WASM, ImageKind.BYTECODE
LIMITS = UnpackLimits()


def unpacked(layer: bytes, kind: ImageKind = WASM, *names: str, limits: UnpackLimits = LIMITS) -> bytes:
    member = choose_member(survey(io.BytesIO(layer), limits), kind, names)
    assert member is not None
    out = bytearray()
    extract(io.BytesIO(layer), member, out.extend, limits)
    return bytes(out)


def link(name: str, type_: bytes, target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info, b""


@pytest.mark.parametrize(
    "layer",
    [tgz({"plugin.wasm": CORE}), tar({"plugin.wasm": CORE}), gzip.compress(CORE), CORE],
    ids=["tgz", "tar", "gz", "plain"],
)
def test_a_file_comes_out_of_tar_gzip_both_or_neither(layer: bytes) -> None:
    assert unpacked(layer) == CORE


def test_bytecode_in_a_folder_beside_other_files() -> None:
    layer = tgz({"./usr/": b"", "./usr/lib/xdp_pass.bpf.o": bpf_object(), "README.md": b"read me", "._x.o": b"apple"})
    assert unpacked(layer, BYTECODE) == bpf_object()


def test_a_name_that_is_asked_for_goes_before_any_other() -> None:
    layer = tgz({"a.wasm": CORE + b"a", "plugin.wasm": CORE + b"p", "entry.wasm": CORE + b"e"})
    assert unpacked(layer, WASM, "entry.wasm", "plugin.wasm") == CORE + b"e"
    assert unpacked(layer, WASM, "gone.wasm", "plugin.wasm") == CORE + b"p"


def test_two_that_could_be_meant_are_refused() -> None:
    with pytest.raises(ImageUnusable, match=r"2 files that could be meant \('a.o', 'b.o'\)"):
        unpacked(tgz({"a.o": bpf_object(), "b.o": bpf_object()}), BYTECODE)


def test_one_name_twice_is_refused_since_readers_differ_on_which_counts() -> None:
    layer = tar_of((tarfile.TarInfo("a.o"), bpf_object()), (tarfile.TarInfo("x/a.o"), bpf_object()))
    with pytest.raises(ImageUnusable, match="exactly one is accepted"):
        unpacked(layer, BYTECODE, "a.o")


def test_nothing_of_the_kind_is_nothing() -> None:
    assert choose_member(survey(io.BytesIO(tgz({"a.txt": b"x", "b.o": b"y"})), LIMITS), WASM, ()) is None


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x.wasm", "/etc/x.wasm", "a/../../x.wasm", "..\\x.wasm"])
def test_a_path_that_leads_out_leads_nowhere(name: str) -> None:
    assert unpacked(tgz({name: CORE})) == CORE
    assert "/" not in survey(io.BytesIO(tgz({name: CORE})), LIMITS)[0].name


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_no_files(type_: bytes) -> None:
    layer = tar_of(link("plugin.wasm", type_, "/etc/shadow"))
    assert choose_member(survey(io.BytesIO(layer), LIMITS), WASM, ("plugin.wasm",)) is None


def test_a_link_beside_the_file_of_its_name_does_not_hide_it() -> None:
    layer = tar_of(link("plugin.wasm", tarfile.SYMTYPE, "x"), (tarfile.TarInfo("bin/plugin.wasm"), CORE))
    assert unpacked(layer) == CORE


def test_a_gzip_bomb_stops_at_its_ratio() -> None:
    with pytest.raises(ImageTooLarge, match="200 times its size"):
        survey(io.BytesIO(tgz({"plugin.wasm": bytes(8 << 20)})), LIMITS)


def test_a_bomb_of_small_steps_stops_at_the_ceiling() -> None:
    limits = UnpackLimits(unpacked=1 << 20, ratio=100_000)
    with pytest.raises(ImageTooLarge, match="more than 1 MiB"):
        survey(io.BytesIO(tgz({str(i): bytes(100_000) for i in range(20)})), limits)


def test_many_small_gzip_members_count_together() -> None:
    archive = tar({str(i): bytes(50_000) for i in range(40)})
    layer = b"".join(gzip.compress(archive[at : at + 9_999]) for at in range(0, len(archive), 9_999))
    assert len(survey(io.BytesIO(layer), LIMITS)) == 40
    with pytest.raises(ImageTooLarge, match="more than 1 MiB"):
        survey(io.BytesIO(layer), UnpackLimits(unpacked=1 << 20))


def test_a_bomb_that_is_a_bare_file_stops_too() -> None:
    with pytest.raises(ImageTooLarge):
        survey(io.BytesIO(gzip.compress(CORE + bytes(4 << 20))), LIMITS)


def test_a_file_past_its_ceiling_is_named_before_it_is_copied() -> None:
    layer = tar({"big.wasm": CORE + bytes(1 << 20)})
    with pytest.raises(ImageTooLarge, match=r"'big.wasm' in it is .* past 1 MiB"):
        unpacked(layer, limits=UnpackLimits(file=1 << 20))


def test_too_many_entries_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="more than 10 entries"):
        survey(io.BytesIO(tar({str(i): b"" for i in range(11)})), UnpackLimits(entries=10))


def test_an_extended_header_without_end_is_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.wasm")
        info.pax_headers = {"comment": "x" * (3 << 20)}
        archive.addfile(info, io.BytesIO(b""))
    with pytest.raises(ImageUnusable, match="tar header of more than 1 MiB"):
        survey(io.BytesIO(out.getvalue()), LIMITS)


def test_headers_nested_without_end_are_refused() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    entry = info.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)
    with pytest.raises(ImageUnusable):
        survey(io.BytesIO(entry * 900), LIMITS)


def test_long_names_are_read() -> None:
    name = "d/" * 120 + "long.wasm"
    assert survey(io.BytesIO(tgz({name: CORE})), LIMITS) == (Member(0, "long.wasm", len(CORE), is_plain=True),)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("packing", ["tgz", "tar"])
def test_a_layer_cut_short_never_gives_half_a_file(tenth: int, packing: str) -> None:
    content = CORE + bytes(range(256)) * 200
    layer = tgz({"plugin.wasm": content}) if packing == "tgz" else tar({"plugin.wasm": content})
    with contextlib.suppress(ImageUnusable, AssertionError):
        assert unpacked(layer[: len(layer) * tenth // 10]) == content


def test_a_wrong_checksum_is_refused() -> None:
    layer = bytearray(tgz({"plugin.wasm": CORE}))
    layer[-6] ^= 1
    with pytest.raises(ImageUnusable, match="neither a tar archive"):
        survey(io.BytesIO(layer), LIMITS)


@given(st.binary(max_size=4096))
def test_any_bytes_are_a_list_or_a_refusal(layer: bytes) -> None:
    for data in (layer, gzip.compress(layer, mtime=0), b"\x1f\x8b" + layer):
        with contextlib.suppress(ImageUnusable):
            survey(io.BytesIO(data), LIMITS)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 1535), st.integers(0, 255)), min_size=1, max_size=12),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]),
)
def test_a_header_with_wrong_bytes_is_a_list_or_a_refusal(changes: list[tuple[int, int]], format_: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        for name in ("long/" * 25 + "name", "x.wasm"):
            info = tarfile.TarInfo(name)
            info.size = len(CORE)
            archive.addfile(info, io.BytesIO(CORE))
    layer = bytearray(out.getvalue())
    for at, value in changes:
        layer[at] = value
    for start in range(0, 1536, 512):  # checksums that fit, so that what is wrong is looked at
        block = layer[start : start + 512]
        block[148:156] = b" " * 8
        layer[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    with contextlib.suppress(ImageUnusable, ImageTooLarge):
        for member in survey(io.BytesIO(layer), LIMITS):
            if member.is_plain:
                extract(io.BytesIO(layer), member, len, LIMITS)


NAMES = st.text("abcdefgh/._", min_size=1, max_size=120).filter(lambda n: n.strip("/.") and not n.endswith("/"))


@given(st.dictionaries(NAMES, st.binary(max_size=600), max_size=5))
def test_every_plain_file_comes_out_as_it_went_in(files: dict[str, bytes]) -> None:
    layer = tgz(files)
    members = survey(io.BytesIO(layer), LIMITS)
    assert [m.size for m in members] == [len(content) for content in files.values()]
    for member, (name, content) in zip(members, files.items(), strict=True):
        out = bytearray()
        extract(io.BytesIO(layer), member, out.extend, LIMITS)
        assert (member.name, bytes(out)) == (name.rpartition("/")[2], content)
