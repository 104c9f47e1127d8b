"""`conductor image inspect|verify|sign`: what a registry holds under a name, who vouches for it, and vouching."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.image_registry import Door, with_registry
from conductor.cli.output import write
from conductor.errors import ImageUnusable, InvalidConfig
from conductor.model.image import Descriptor, ImageKind, Reference

if TYPE_CHECKING:
    from conductor.oci.manifests import Manifest

__all__ = ["inspect", "sign", "verify"]

_CONFIG_MOST = 1 << 20
PASSWORD = "CONDUCTOR_SIGNING_PASSWORD"  # noqa: S105 - the name of a variable
_FORM = click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output."
)


@click.command(epilog="\b\nExample:\n  conductor image inspect registry.example/tools/counter:v1 -o json")
@click.argument("reference", metavar="REF")
@_FORM
@with_registry
async def inspect(door: Door, *, reference: str, form: Any) -> int:
    """Show what a registry holds under REF: digest, platforms, form, programs, signatures; nothing is fetched but that.

    Leaves with 1 where no agent could run it.
    """
    ref = Reference.parse(reference, "REF")
    document = await _document(door, ref)
    if form == "json":
        write(document, form)
    else:
        click.echo("\n".join(_lines(document)))
    return 1 if document["problem"] else 0


async def _document(door: Door, ref: Reference) -> dict[str, Any]:
    from conductor.oci.platforms import entries_of  # noqa: PLC0415 - for a quick --help

    manifest = await door.client.manifest(ref, credentials=door.credentials)
    entries = entries_of(manifest.parsed) if manifest.is_index else ()
    signatures, notes = await _signatures(door, ref, manifest.digest)
    document: dict[str, Any] = {
        "reference": str(ref),
        "digest": manifest.digest,
        "mediaType": manifest.media_type,
        "platforms": [str(entry.platform) for entry in entries if entry.platform],
        "kind": "",
        "family": "",
        "layers": [],
        "annotations": {},
        "programs": {},
        "maps": {},
        "signatures": signatures,
        "notes": notes,
        "problem": "",
    }
    try:
        document |= await _form_of(door, ref, manifest, entries)
    except ImageUnusable as exc:
        document["problem"] = str(exc)
    return document


async def _form_of(door: Door, ref: Reference, top: Manifest, entries: tuple[Descriptor, ...]) -> dict[str, Any]:
    from conductor.oci.forms import Parts, classify, kind_of  # noqa: PLC0415
    from conductor.oci.platforms import choose, node_platform  # noqa: PLC0415

    manifest = top
    if top.is_index:
        kinds = (ImageKind.WASM,) if any("wasm" in str(one.platform) for one in entries) else (ImageKind.BYTECODE,)
        chosen = choose(entries, kinds[0], node_platform())
        manifest = await door.client.manifest(ref.at(chosen.digest), credentials=door.credentials)
    described = Parts.parse(manifest.parsed).config
    config = await door.client.small_blob(ref, described, limit=_CONFIG_MOST, credentials=door.credentials)
    form = classify(manifest.parsed, config, wanted=kind_of(manifest.parsed, config) or ImageKind.BYTECODE)
    return {
        "kind": form.kind.value,
        "family": form.family.value,
        "layers": [layer.printed() for layer in form.layers],
        "annotations": dict(form.annotations),
        "programs": dict(form.functions),
        "maps": dict(form.maps),
    }


async def _signatures(door: Door, ref: Reference, digest: str) -> tuple[int, list[str]]:
    from conductor.oci.trust.discover import gather  # noqa: PLC0415

    found = await gather(door.client, ref, digest, credentials=door.credentials)
    return len(found.pieces), list(found.notes)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['reference']}@{document['digest']}"]
    words = [
        ("kind", f"{document['kind']} (form {document['family']})" if document["kind"] else "none that runs here"),
        ("platforms", ", ".join(document["platforms"])),
        ("programs", ", ".join(f"{name} ({type_})" for name, type_ in document["programs"].items())),
        ("maps", ", ".join(f"{name} ({type_})" for name, type_ in document["maps"].items())),
        ("layer", ", ".join(f"{one['mediaType']}, {one['size']} bytes" for one in document["layers"])),
        ("signatures", str(document["signatures"])),
        *((f"  {key}", value) for key, value in document["annotations"].items()),
        ("problem", document["problem"]),
    ]
    return [*lines, *(f"{key}: {value}" for key, value in words if value)]


@click.command(
    epilog="\b\nExamples:\n  conductor image verify registry.example/tools/counter:v1 --key cosign.pub\n"
    "  conductor image verify registry.example/tools/counter:v1 --image-policy policy.yaml"
)
@click.argument("reference", metavar="REF")
@click.option("--key", type=click.Path(path_type=Path), help="Public key (PEM) that must have signed it.")
@click.option("--image-policy", "policy", metavar="FILE", help="Policy that it must meet. [CONDUCTOR_IMAGE_POLICY]")
@_FORM
@with_registry
async def verify(door: Door, *, reference: str, key: Path | None, policy: str | None, form: Any) -> None:
    """Check who vouches for what REF names now, by a key or by the policy that agents use; 1 where nobody does."""
    from conductor.oci.service import read_policy  # noqa: PLC0415
    from conductor.oci.trust.policy import TrustPolicy  # noqa: PLC0415
    from conductor.oci.trust.verifier import Verifier  # noqa: PLC0415

    ref = Reference.parse(reference, "REF")
    path = Path(policy) if policy else door.config.images.image_policy
    if key is not None:
        trust = TrustPolicy.parse(_policy_of(key), where="--key")
    elif path is not None:
        trust = read_policy(path)
    else:
        raise InvalidConfig((("--key", "give a public key, or --image-policy FILE"),))
    digest = ref.digest or await door.client.head(ref, credentials=door.credentials)
    verdict = await Verifier(policy=trust, client=door.client, verdicts=None).check(
        ref, digest, credentials=door.credentials
    )
    if form == "json":
        write({"reference": str(ref), "digest": digest, "by": verdict.by, "audited": verdict.audited}, form)
    else:
        click.echo(f"{ref.at(digest)}: {verdict.audited or verdict.by}")


def _policy_of(key: Path) -> str:
    """A policy (JSON is YAML) by which everything must be signed with one key."""
    return json.dumps({"default": {"anyOf": [{"key": str(key.absolute())}]}})


@click.command(epilog="\b\nExample:\n  conductor image sign registry.example/tools/counter:v1 --key signing.key")
@click.argument("reference", metavar="REF")
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, help=f"Private key (PEM); password in ${PASSWORD}."
)
@click.option("--legacy", is_flag=True, help="Write cosign's older .sig tag too.")
@_FORM
@with_registry
async def sign(door: Door, *, reference: str, key: Path, legacy: bool, form: Any) -> None:
    """Sign what REF names now, as a Sigstore bundle beside it; cosign verifies it too."""
    from conductor.oci.trust.sign import sign as sign_image  # noqa: PLC0415

    ref = Reference.parse(reference, "REF")
    digest = ref.digest or await door.client.head(ref, credentials=door.credentials)
    password = os.environ.get(PASSWORD)
    signature = await sign_image(
        door.client,
        ref,
        digest,
        key=key,
        password=password.encode() if password else None,
        legacy=legacy,
        credentials=door.credentials,
    )
    if form == "json":
        legacy_tag = str(signature.legacy) if signature.legacy else ""
        write({"image": str(signature.image), "bundle": str(signature.bundle), "legacy": legacy_tag}, form)
    else:
        click.echo(f"{signature.image} is signed: {signature.bundle}")
