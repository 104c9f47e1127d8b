"""The contracts as lines of text, one per published field, value and method. As a program: write them anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]  # its stubs are a package of their own
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

__all__ = ["PROTO", "PUBLISHED", "lines_of", "protoc"]

PROTO = Path(__file__).parents[2] / "conductor" / "proto"
PUBLISHED = Path(__file__).with_name("published.txt")


def protoc(*arguments: str, env: dict[str, str] | None = None) -> None:
    """Run the compiler over all contracts, as `nox -s proto` does."""
    files = sorted(path.name for path in PROTO.glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *arguments, *files]
    subprocess.run(command, cwd=PROTO, check=True, capture_output=True, env=env)


def lines_of() -> list[str]:
    """Describe every contract, sorted."""
    with TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        protoc(f"--descriptor_set_out={out}")
        files = FileDescriptorSet.FromString(out.read_bytes())
    return sorted(line for file in files.file for line in _file(file))


def _file(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _message(message, f"{file.package}.{message.name}")
    for enum in file.enum_type:
        yield from _enum(enum, f"{file.package}.{enum.name}")
    for service in file.service:
        for method in service.method:
            sent = ("stream " if method.client_streaming else "") + method.input_type
            answered = ("stream " if method.server_streaming else "") + method.output_type
            yield f"/{file.package}.{service.name}/{method.name} ({sent}) returns ({answered})"


def _message(message: DescriptorProto, name: str) -> Iterator[str]:
    yield f"message {name}"
    for field in message.field:
        oneof = f" oneof {message.oneof_decl[field.oneof_index].name}" if _is_choice(field) else ""
        yield f"{name}.{field.name} = {field.number} {_kind(field)}{oneof}"
    for nested in message.nested_type:
        yield from _message(nested, f"{name}.{nested.name}")
    for enum in message.enum_type:
        yield from _enum(enum, f"{name}.{enum.name}")


def _enum(enum: EnumDescriptorProto, name: str) -> Iterator[str]:
    for value in enum.value:
        yield f"{name}.{value.name} = {value.number}"


def _is_choice(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _kind(field: FieldDescriptorProto) -> str:
    kind = field.type_name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.proto3_optional:
        return f"optional {kind}"
    return f"repeated {kind}" if field.label == FieldDescriptorProto.LABEL_REPEATED else kind


if __name__ == "__main__":
    PUBLISHED.write_text("".join(f"{line}\n" for line in lines_of()))
