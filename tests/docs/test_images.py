"""docs/images.md is true: its commands work in their order, its registries file is one, its policy another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conductor.model.image import Reference
from conductor.oci.registries import RegistriesConfig
from conductor.oci.registry_entries import SETTINGS
from tests.docs.reading import DOCS, ROOT, blocks, commands
from tests.docs.shell import environment
from tests.e2e.node import Node
from tests.fakes.registry_thread import served_registry

TEXT = (DOCS / "images.md").read_text()
SHOWN = "registry.example:5000"
"""The registry of the commands."""


@pytest.fixture
def place(node: Node, tmp_path: Path) -> dict[str, str]:
    """Variables of a shell beside a node that runs."""
    missing = [tool for tool in ("clang", "wasm-ld", "openssl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian packages clang, lld, openssl)")
    (tmp_path / "bin").mkdir()
    node.start("--kernel", "embedded")
    return environment(node, tmp_path / "bin") | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_command_works_in_its_order(node: Node, tmp_path: Path, place: dict[str, str]) -> None:
    (manifest,) = [block for block in blocks(TEXT, "yaml") if block.startswith("# counter.yaml")]
    shown = [line for line in commands(TEXT) if line.split()[1] != "up"]
    words = " ".join(shown)
    assert all(word in words for word in ("build", "push", "apply", "load", "update", "prune", "sign", "verify"))
    with served_registry() as registry:
        (tmp_path / "counter.yaml").write_text(manifest.replace(SHOWN, registry.address))
        for line in shown:
            here = line.replace(SHOWN, registry.address)
            done = subprocess.run(
                here, shell=True, env=place, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}\n{node.log[-2000:]}"
            if line.startswith("conductor apply"):
                node.wait_for(lambda: node.running("counter"), "running")
                node.wait_for(lambda: node.series("?program=counter"), "told")


def test_the_example_of_the_readme_is_made_of_the_same_commands() -> None:
    lines = re.findall(r"`(?:sudo )?conductor ((?:image|load wasm) [^`]+)`", (ROOT / "README.md").read_text())
    assert len(lines) == 3
    shown = [re.sub(r"registry.example:5000|ghcr.io", "R", line) for line in commands(TEXT)]
    for line in lines:
        wanted = f"conductor {line.replace('ghcr.io', 'R')}"
        assert any(f"{one} ".startswith(f"{wanted} ") for one in shown), line


def test_the_registries_file_is_read_and_means_what_it_says() -> None:
    (shown,) = blocks(TEXT, "toml")
    config = RegistriesConfig.parse(shown, where="images.md", environ={})
    roots = [endpoint.root for endpoint in config.endpoints(Reference.parse("ghcr.io/acme/tool"))]
    assert roots == ["https://mirror.example:5000/v2/acme/tool", "https://ghcr.io/v2/acme/tool"]
    assert config.endpoints(Reference.parse("old.example:5000/a"))[0].plain


def test_every_setting_has_its_row() -> None:
    _, _, part = TEXT.partition("| setting | of |")
    assert set(re.findall(r"^\| `(\w+)` \|", part.partition("\n\n")[0], re.MULTILINE)) == set(SETTINGS)
