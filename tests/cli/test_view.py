"""A closed home, seen by a user who may not enter it: only what was bound is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from conductor.cli.view import closed
from conductor.privilege import Identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make mount namespaces and become another user")
STRANGER = Identity(uid=65532, gid=65532)

SCRIPT = """
import json, os, sys
from pathlib import Path
from conductor.cli.view import code, own_view
from conductor.privilege import Identity, drop

asked = json.loads(sys.argv[1])
who = Identity(uid=65532, gid=65532)
own_view(
    identity=who,
    read=[*code(), *map(Path, asked["read"])],
    write=[Path(path) for path in asked["write"]],
)
drop(who)
os.execv(sys.executable, [sys.executable, "-c", asked["then"]])
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of mode 0700 with code, state and a secret."""
    with TemporaryDirectory(prefix="view-", dir="/var/tmp") as made:
        place = Path(made)
        place.chmod(0o755)
        home = place / "home"
        for folder in ("checkout/lib", "state", "other"):
            (home / folder).mkdir(parents=True)
        (home / "checkout/lib/code.py").write_text("x = 1")
        (home / "secret").write_text("hunter2")
        (home / "state").chmod(0o777)
        home.chmod(0o700)
        yield home


def seen(home: Path, then: str, *, write: tuple[Path, ...] = ()) -> Any:
    asked = {"read": [str(home / "checkout")], "write": [str(path) for path in write], "then": then}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_home_holds_nothing_but_the_trees(home: Path) -> None:
    then = f"import json, os; print(json.dumps([os.getuid(), os.listdir({str(home)!r}), open({str(home)!r} + '/checkout/lib/code.py').read()]))"
    assert seen(home, then) == [65532, ["checkout"], "x = 1"]
    assert sorted(path.name for path in home.iterdir()) == ["checkout", "other", "secret", "state"]


def test_trees_are_read_only_even_where_modes_would_permit(home: Path) -> None:
    (home / "checkout").chmod(0o777)
    then = f"""
import errno, json
answers = []
for path in ({str(home)!r} + "/checkout/new", {str(home)!r} + "/new"):
    try:
        open(path, "w")
    except OSError as exc:
        answers.append(exc.errno == errno.EROFS)
print(json.dumps(answers))"""
    assert seen(home, then) == [True, True]


def test_what_the_agent_writes_is_bound_writable(home: Path) -> None:
    then = f"import json; open({str(home)!r} + '/state/kept', 'w').write('1'); print(json.dumps('written'))"
    assert seen(home, then, write=(home / "state",)) == "written"
    assert (home / "state/kept").read_text() == "1"


def test_the_view_is_no_way_back(home: Path) -> None:
    then = f"""
import json, os
links = [os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{{fd}}")]
print(json.dumps([os.getcwd(), [link for link in links if link.startswith({str(home)!r})]]))"""
    assert seen(home, then) == ["/", []]


def test_mounts_stay_in_the_namespace(home: Path) -> None:
    then = f"print(open('/proc/self/mountinfo').read().count({str(home)!r}))"
    assert seen(home, then) >= 2
    assert str(home) not in Path("/proc/self/mountinfo").read_text()


def test_files_for_their_owner_alone_are_refused_with_the_command_that_helps(home: Path) -> None:
    (home / "checkout").chmod(0o700)
    asked = json.dumps({"read": [str(home / "checkout" / "lib")], "write": [], "then": ""})
    home.chmod(0o755)
    (home / "checkout").chmod(0o755)
    (home / "checkout/lib").chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, asked], capture_output=True, text=True, timeout=30, check=False
    )
    assert f"chmod -R go+rX {home / 'checkout/lib'}" in done.stderr


def test_closed_follows_links_to_what_they_name(home: Path) -> None:
    link = home.parent / "venv"
    link.symlink_to(home / "checkout")
    (found,) = closed([link], STRANGER)
    assert (found.path, found.behind) == (home / "checkout", home)
