"""Images on the wire: what is held, how far a pull is, credentials that travel beside a request."""

from __future__ import annotations

import betterproto

from conductor.api.wire.values import milliseconds, seconds
from conductor.errors import InvalidSpec
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullPhase, PullProgress
from conductor.model.kernel import ImageObject, PullPolicy
from conductor.proto.agent import v1 as pb

__all__ = [
    "POLICIES",
    "credentials_from_wire",
    "image_from_wire",
    "image_status_from_wire",
    "image_status_to_wire",
    "progress_from_wire",
    "progress_to_wire",
]

POLICIES = (PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER)
"""By their number on the wire."""
_LONGEST_SECRET = 64 << 10


def image_from_wire(msg: pb.BytecodeImage, field: str) -> ImageObject:
    """Parse an image's address and pull policy; credentials stay behind. Raises `InvalidSpec`."""
    if not msg.url or len(msg.url) > 1024 or not msg.url.isprintable() or " " in msg.url:
        raise InvalidSpec(f"{field}.url", "must be an image reference, such as registry.example/repo:tag")
    number = msg.image_pull_policy
    if not 0 <= number < len(POLICIES):
        raise InvalidSpec(f"{field}.image_pull_policy", f"{number} is unknown: 0 Always, 1 IfNotPresent, 2 Never")
    return ImageObject(url=msg.url, pull_policy=POLICIES[number])


def credentials_from_wire(bytecode: pb.BytecodeLocation | pb.BytecodeImage) -> Credentials | None:
    """Parse name and password of an image's registry; None where there are none. Raises `InvalidSpec`."""
    image = bytecode
    if isinstance(image, pb.BytecodeLocation):
        which, image = betterproto.which_one_of(bytecode, "location")
        if which != "image":
            return None
    if not image.username and not image.password:
        return None
    if not image.username or not image.password:
        raise InvalidSpec("bytecode.image", "takes username and password together, or neither")
    if len(image.username) + len(image.password) > _LONGEST_SECRET:
        raise InvalidSpec("bytecode.image", f"username and password are longer than {_LONGEST_SECRET >> 10} KiB")
    return Credentials(image.username, image.password)


def image_status_to_wire(image: ImageStatus) -> pb.ImageInfo:
    """Print an image that is held."""
    return pb.ImageInfo(
        digest=image.digest,
        reference=image.reference,
        size=image.size,
        last_used=milliseconds(image.used),
        in_use=image.in_use,
        kind=image.kind.value,
        content=image.content,
        pulled=milliseconds(image.pulled),
        verdict=image.verdict,
    )


def image_status_from_wire(msg: pb.ImageInfo) -> ImageStatus:
    """Parse an image that is held. Raises `InvalidSpec`."""
    try:
        kind = ImageKind(msg.kind)
    except ValueError:
        raise InvalidSpec("kind", f"{msg.kind[:40]!r} is unknown: {', '.join(ImageKind)}") from None
    return ImageStatus(
        reference=msg.reference,
        digest=msg.digest,
        kind=kind,
        content=msg.content,
        size=msg.size,
        pulled=seconds(msg.pulled),
        used=seconds(msg.last_used),
        in_use=msg.in_use,
        verdict=msg.verdict,
    )


def progress_to_wire(progress: PullProgress) -> pb.PullProgress:
    """Print how far a pull is."""
    return pb.PullProgress(
        reference=progress.reference, phase=progress.phase.value, done=progress.done, total=progress.total
    )


def progress_from_wire(msg: pb.PullProgress) -> PullProgress:
    """Parse how far a pull is. Raises `InvalidSpec`."""
    try:
        phase = PullPhase(msg.phase)
    except ValueError:
        raise InvalidSpec("phase", f"{msg.phase[:40]!r} is unknown: {', '.join(PullPhase)}") from None
    return PullProgress(msg.reference, phase, msg.done, msg.total)
