"""`python -m tests.systemd.boot PLACE CODE`: go on as a machine's first process, where everybody can read our code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conductor.cli.view import code, own_view
from conductor.privilege import Identity

SCRIPT = Path(__file__).with_suffix(".sh")
ENTER = "nsenter --mount=/proc/self/ns/mnt"
ROOTED = f'exec 9</ && {ENTER} mount --rbind /proc/self/fd/9 / && exec {ENTER} "$@"'
"""Who enters a mount namespace begins at its own root, which a chroot leaves below it: lay ours over that."""
APART = ("--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--net", "--cgroup", "--kill-child")


def main() -> None:
    script = SCRIPT.read_text()
    # A checkout or an interpreter below a home of mode 0700 is nothing to the agent's user.
    own_view(identity=Identity(uid=65532, gid=65532, groups=()), read=[*code(), Path(sys.argv[2])], write=[])
    words = ["unshare", *APART, "bash", "-c", ROOTED, "bash", "bash", "-c", script, "bash", *sys.argv[1:]]
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
