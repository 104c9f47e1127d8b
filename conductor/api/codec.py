"""The codec of `agent.v1` for server and client: bytes are checked before the generated classes read them."""

from __future__ import annotations

from typing import Any

from grpclib.encoding.base import CodecBase
from typing_extensions import override

from conductor.api.decoding import decoded
from conductor.api.encoding import encoded
from conductor.errors import InvalidSpec
from conductor.model.protobuf import check

__all__ = ["MAX_MESSAGE", "Codec"]

MAX_MESSAGE = 4 << 20
"""Bytes of one message, as gRPC's own default."""


class Codec(CodecBase):
    """Protobuf by betterproto's classes; bad UTF-8 and fields cut short are `InvalidSpec`, never half a message."""

    __content_subtype__ = "proto"

    @override
    def encode(self, message: Any, message_type: Any) -> bytes:
        return encoded(message)

    @override
    def decode(self, data: bytes, message_type: Any) -> Any:
        check(data, message_type)
        try:
            return decoded(data, message_type)
        except Exception as error:  # whatever the parser trips over, the bytes are the caller's
            raise InvalidSpec("message", f"cannot be read as {message_type.__name__}") from error
