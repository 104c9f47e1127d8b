from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from conductor.config import IdentityConfig
from conductor.errors import InvalidConfig, StateUnwritable
from conductor.privilege import Identity, group_id, identity_of, may_reach, private_folder, shared_folder

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
STRANGER = Identity(uid=65532, gid=65532)
EMPTY = "0" * 16

PRELUDE = """
import json, os, subprocess, sys, threading
from pathlib import Path
from conductor.privilege import Identity, confirm, drop

def status(path):
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    wanted = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return {key: value.split() for key, _, value in lines if key in wanted}
"""


def asked(body: str) -> Any:
    """Run a script in a process of its own (a drop is for good) and read the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can enter, which pytest's own is not."""
    with TemporaryDirectory(prefix="conductor-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@ROOT_ONLY
def test_after_the_drop_every_thread_and_an_exec_have_nothing() -> None:
    seen = asked("""
        drop(Identity(uid=65532, gid=65531, groups=(7,)))
        gate = threading.Event()
        threads = [threading.Thread(target=gate.wait) for _ in range(3)]
        for thread in threads: thread.start()
        found = [status(task / "status") for task in Path("/proc/self/task").iterdir()]
        gate.set()
        child = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True).stdout
        Path("/tmp").joinpath(f"status-{os.getpid()}").write_text(child)
        found.append(status(f"/tmp/status-{os.getpid()}"))
        os.unlink(f"/tmp/status-{os.getpid()}")
        print(json.dumps(found))
    """)
    assert len(seen) == 5
    for one in seen:
        assert one["Uid"] == ["65532"] * 4
        assert one["Gid"] == ["65531"] * 4
        assert one["Groups"] == ["7"]
        assert one["NoNewPrivs"] == ["1"]
        assert [one[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [[EMPTY]] * 5


@ROOT_ONLY
def test_uid_0_without_capabilities_gains_none_by_an_exec() -> None:
    seen = asked("""
        drop(Identity(uid=0, gid=0))
        print(json.dumps(subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True).stdout))
    """)
    assert f"CapEff:\t{EMPTY}" in seen
    assert f"CapBnd:\t{EMPTY}" in seen


@ROOT_ONLY
def test_a_drop_with_a_second_thread_is_refused_and_changes_nothing() -> None:
    seen = asked("""
        gate = threading.Event()
        threading.Thread(target=gate.wait).start()
        try:
            drop(Identity(uid=65532, gid=65532))
        except Exception as exc:
            print(json.dumps([type(exc).__name__, os.getuid(), status("/proc/self/status")["CapEff"][0]]))
        gate.set()
    """)
    assert seen[:2] == ["PrivilegesKept", 0]
    assert seen[2] != EMPTY


@ROOT_ONLY
def test_a_second_drop_is_idle_even_beside_threads() -> None:
    assert (
        asked("""
        who = Identity(uid=65532, gid=65532)
        drop(who)
        gate = threading.Event()
        threading.Thread(target=gate.wait).start()
        drop(who)
        gate.set()
        print(os.getuid())
    """)
        == 65532
    )


@ROOT_ONLY
def test_own_descriptors_stay_visible_after_the_drop() -> None:
    assert asked("drop(Identity(uid=65532, gid=65532)); print(len(os.listdir('/proc/self/fd')) > 2 and 1)") == 1


@ROOT_ONLY
def test_confirm_sees_what_is_left() -> None:
    assert "still has capabilities" in asked("""
        try:
            confirm(Identity(uid=0, gid=0))
        except Exception as exc:
            print(json.dumps(str(exc)))
    """)


@ROOT_ONLY
def test_who_is_not_root_stays_who_he_is_and_still_gains_nothing() -> None:
    seen = asked("""
        from conductor.config import IdentityConfig
        from conductor.privilege import identity_of
        os.setgroups([7]); os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)
        who = identity_of(IdentityConfig(user="65532", groups=("8",), allow_uid0=False))
        drop(who)
        try:
            identity_of(IdentityConfig(user="daemon", groups=(), allow_uid0=False))
        except Exception as exc:
            print(json.dumps([who.uid, who.gid, who.groups, status("/proc/self/status"), str(exc)]))
    """)
    assert seen[:3] == [1234, 1234, [7]]
    assert (seen[3]["NoNewPrivs"], seen[3]["CapPrm"], seen[3]["Uid"]) == (["1"], [EMPTY], ["1234"] * 4)
    assert "only root can become daemon" in seen[4]


def config(user: str = "65532", groups: tuple[str, ...] = (), *, allow_uid0: bool = False) -> IdentityConfig:
    return IdentityConfig(user=user, groups=groups, allow_uid0=allow_uid0)


@pytest.mark.parametrize("user", ["0", "root", "root:7"])
def test_uid_0_is_refused(user: str) -> None:
    with pytest.raises(InvalidConfig, match="--allow-uid0"):
        identity_of(config(user))


@ROOT_ONLY
def test_users_and_groups_come_by_name_or_number() -> None:
    assert identity_of(config("daemon:adm", ("adm", "77"))) == Identity(
        uid=1, gid=group_id("adm"), groups=(group_id("adm"), 77)
    )
    assert identity_of(config()) == STRANGER
    assert identity_of(config("0", allow_uid0=True)).uid == 0


@pytest.mark.parametrize("who", [config("nobody-at-all"), config("65532:no-such-group")])
def test_unknown_names_are_refused(who: IdentityConfig) -> None:
    with pytest.raises(InvalidConfig, match="this machine has no"):
        identity_of(who)


@pytest.mark.parametrize(
    ("doors", "groups"),
    [((), ()), (("77",), ("77", "88")), (("65532",), ()), (("77", "77"), ("77",)), (("77", "88"), ())],
)
@ROOT_ONLY
def test_the_agent_is_in_the_group_that_its_socket_is_for(doors: tuple[str, ...], groups: tuple[str, ...]) -> None:
    who = IdentityConfig(user="65532", groups=groups, allow_uid0=False, doors=doors)
    assert identity_of(who).groups == tuple(map(int, groups))


def test_a_group_that_the_agent_is_not_in_cannot_have_its_socket() -> None:
    with pytest.raises(InvalidConfig, match="add --groups 77"):
        identity_of(IdentityConfig(user="65532", groups=("88",), allow_uid0=False, doors=("77",)))


@ROOT_ONLY
def test_a_private_folder_belongs_to_the_identity_with_all_that_is_in_it(place: Path) -> None:
    folder = place / "state" / "agent"
    private_folder(folder, Identity(uid=1, gid=1))
    (folder / "kept").write_text("x")
    (folder / "link").symlink_to("/etc/hostname")
    private_folder(folder, STRANGER)
    assert {path.lstat().st_uid for path in (folder, *folder.iterdir())} == {65532}
    assert folder.stat().st_mode & 0o777 == 0o750
    assert folder.parent.stat().st_uid == Path("/etc/hostname").stat().st_uid == 0


@ROOT_ONLY
def test_a_shared_folder_lets_the_group_write_but_not_remove_roots_sockets(place: Path) -> None:
    folder = place / "run"
    folder.mkdir(mode=0o755)
    (folder / "loader.sock").touch()
    shared_folder(folder, STRANGER)
    assert (folder.stat().st_uid, folder.stat().st_gid, folder.stat().st_mode & 0o7777) == (0, 65532, 0o1775)
    shared_folder(folder, STRANGER)


@ROOT_ONLY
@pytest.mark.parametrize("folder", ["/run", "/var/lib", "/usr/lib", "/"])
def test_a_folder_of_the_system_keeps_its_mode(folder: str) -> None:
    before = Path(folder).stat().st_mode
    everybody_may = before & 0o3 == 0o3  # a container's /run, for one: nothing is to be done and nothing to be said
    with nullcontext() if everybody_may else pytest.raises(StateUnwritable, match="folder of its own"):
        shared_folder(Path(folder), STRANGER)
    assert Path(folder).stat().st_mode == before


def test_reach_names_the_outermost_folder_in_the_way(place: Path) -> None:
    code = place / "home" / "venv" / "lib.py"
    code.parent.mkdir(parents=True)
    code.write_text("")
    code.chmod(0o644)
    assert may_reach(code, STRANGER) is None
    code.parent.parent.chmod(0o700)
    assert may_reach(code, STRANGER) == place / "home"
    (place / "link").symlink_to(code)
    assert may_reach(place / "link", STRANGER) == place / "home"
    code.parent.parent.chmod(0o755)
    code.chmod(0o600)
    assert may_reach(code, STRANGER) == code
