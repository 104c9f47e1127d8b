"""`conductor wasm build`: what is missing is named, what went wrong is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.cli.wasm_build import build_project
from conductor.cli.wasm_new import make
from conductor.cli.wasm_project import Language, Project
from conductor.errors import InvalidSpec, ObjectUnreadable
from tests.sdk.conftest import LANGUAGES, Conduct, Make

NAMED = {
    Language.C: ("wasm-ld (install lld)", "clang (install clang)"),
    Language.RUST: ("cargo (install cargo",),
    Language.GO: ("go (install golang-go)",),
    Language.ASSEMBLYSCRIPT: ("npm (install npm)", "node (install nodejs)"),
}


@pytest.mark.parametrize("language", Language)
def test_a_missing_compiler_is_named_with_its_package(tmp_path: Path, language: Language) -> None:
    make(tmp_path / "x", language, "syscall_counter")
    (tmp_path / "bin").mkdir()
    said = subprocess.run(
        [sys.executable, "-m", "conductor", "wasm", "build", str(tmp_path / "x")],
        env=os.environ | {"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    for words in NAMED[language]:
        assert words in said.stderr


def test_a_folder_without_a_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"neither .*\.c \(C\)"):
        Project.of(tmp_path)
    with pytest.raises(ObjectUnreadable, match="conductor wasm new"):
        Project.of(tmp_path / "absent")


def test_the_command_is_shown_and_the_compiler_s_words_too(conduct: Conduct, made: Make, tmp_path: Path) -> None:
    made(Language.C, "psi_watch")
    make(tmp_path / "x", Language.C, "psi_watch")
    (tmp_path / "x" / "x.c").write_text("int broken")
    said = conduct("wasm", "build", tmp_path / "x", ok=False)
    assert said.returncode == 1
    assert said.stdout == ""
    assert "$ clang --target=wasm32-wasi" in said.stderr
    assert "error: expected" in said.stderr


def test_a_program_that_no_agent_would_take_is_a_failed_build(conduct: Conduct, made: Make, tmp_path: Path) -> None:
    made(Language.C, "psi_watch")
    make(tmp_path / "x", Language.C, "psi_watch")
    (tmp_path / "x" / "x.c").write_text("int nothing;")
    said = conduct("wasm", "build", tmp_path / "x", ok=False)
    assert said.returncode == 1
    assert "conductor_v1_tick is missing" in said.stderr


EATS_THE_STACK = {
    Language.C: """
#include "conductor.h"
static volatile uint8_t data[2 << 20]; /* a stack above it would run into it unseen */
static int32_t eat(int32_t depth)
{
	volatile uint8_t room[16384];
	room[depth & 255] = (uint8_t)depth;
	return depth ? eat(depth - 1) + room[depth & 255] : 0;
}
CONDUCTOR_TICK(now) { data[now & 4095] = 1; return eat(64) & 0; }
""",
    Language.RUST: """
#![no_std]
use conductor::{Error, Program};
struct Eater;
#[inline(never)]
fn eat(depth: usize) -> u32 {
    let mut room = [0u8; 16384];
    core::hint::black_box(&mut room)[depth] = 1;
    if depth == 0 { 0 } else { eat(depth - 1) + room[depth] as u32 }
}
impl Program for Eater {
    fn start() -> Result<Self, Error> { Ok(Eater) }
    fn tick(&mut self, _now: i64) -> Result<(), Error> {
        if eat(64) == 0 { Err(Error::State) } else { Ok(()) }
    }
}
conductor::program!(Eater);
#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo) -> ! { core::arch::wasm32::unreachable() }
""",
}


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one in EATS_THE_STACK])
def test_a_stack_that_is_overrun_traps_and_spoils_no_data(
    conduct: Conduct, made: Make, tmp_path: Path, language: Language
) -> None:
    made(language, "psi_watch")
    make(tmp_path / "x", language, "psi_watch")
    source = tmp_path / "x" / ("x.c" if language is Language.C else "lib.rs")
    source.write_text(EATS_THE_STACK[language])
    conduct("wasm", "build", tmp_path / "x")
    played = conduct("wasm", "replay", tmp_path / "x" / "x.wasm", tmp_path / "x" / "recording.jsonl", ok=False)
    assert played.returncode == 1
    assert "memory was accessed out of bounds" in played.stderr


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ('{"maps": [{"name": "absent"}]}', "the kernel half has counts"),
        ('{"maps": [{"name": "counts", "type": "hash"}]}', "hash, but the kernel half has percpu_array"),
        ('{"maps": [{}]}', "needs a name"),
        ('{"interval": "often"}', "interval"),
        ("{", "no JSON"),
        ("[]", "no JSON object"),
    ],
)
def test_needs_that_do_not_fit_are_told(made: Make, tmp_path: Path, needs: str, said: str) -> None:
    made(Language.C, "psi_watch")
    make(tmp_path / "x", Language.C, "syscall_counter")
    (tmp_path / "x" / "needs.json").write_text(needs)
    with pytest.raises(InvalidSpec, match=said):
        build_project(Project.of(tmp_path / "x"))


def test_the_wheel_carries_the_sdks(tmp_path: Path) -> None:
    import zipfile

    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = ("c/conductor.h", "rust/conductor/Cargo.toml", "go/conductor/go.mod", "assemblyscript/conductor.ts")
    assert {f"conductor/sdk/{name}" for name in (*wanted, "template/test.sh", "template/dot-gitignore")} <= set(names)
    assert not [name for name in names if "node_modules" in name or "/target/" in name]
