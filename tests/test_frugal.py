"""Each in a process of its own: what was imported once stays imported."""

from __future__ import annotations

import subprocess
import sys


def said(code: str) -> list[str]:
    begun = f"import gc, sys\nfrom conductor import frugal\nfrugal.begin()\n{code}"
    run = subprocess.run([sys.executable, "-c", begun], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_the_agent_imports_no_client_and_no_database() -> None:
    heavy = {"aiohttp.client", "aiohttp.connector", "pyroute2.ndb", "pyroute2.ipdb", "rich"}
    imported = said("import conductor.agent\nprint(*sys.modules)")
    assert "aiohttp.web" in imported
    assert "pyroute2.iproute" in imported
    assert not heavy & set(imported)


def test_an_agent_without_a_cluster_imports_nothing_of_one() -> None:
    imported = said("import conductor.agent\nprint(*sys.modules)")
    parts = (
        "kubernetes_asyncio",
        "conductor.agent_cluster",
        "conductor.kube.cluster",
        "conductor.node",
        "conductor.controller",
    )
    assert not [name for name in imported if name.startswith(parts)]
    assert "conductor.managers.cluster_cache" not in imported


def test_the_agent_has_one_thread_when_all_is_imported() -> None:
    assert said("import conductor.agent, os\nprint(len(os.listdir('/proc/self/task')))") == ["1"]


def test_what_was_left_out_comes_when_it_is_asked_for() -> None:
    code = """
import aiohttp.web
before = aiohttp.web
import aiohttp
print('aiohttp.client' in sys.modules)
print(aiohttp.ClientSession.__module__, aiohttp.web is before, aiohttp.__version__ == aiohttp.http.__version__)
from pyroute2 import NDB
print(NDB.__module__)
"""
    assert said(code) == ["False", "aiohttp.client", "True", "True", "pyroute2.ndb.main"]


def test_an_unknown_name_is_still_unknown() -> None:
    assert said("import aiohttp\nprint(hasattr(aiohttp, 'nobody'), hasattr(aiohttp, 'nobody'))") == ["False", "False"]


def test_what_is_imported_already_stays_as_it_is() -> None:
    assert said("import json\nfrugal.defer('json')\nprint(sys.modules['json'] is json, json.dumps(1))") == ["True", "1"]


def test_garbage_is_collected_again_without_what_start_up_made() -> None:
    code = "print(gc.isenabled())\nfrugal.settle()\nprint(gc.isenabled(), gc.get_freeze_count() > 1000, len(gc.get_objects()) < 100)"
    assert said(code) == ["False", "True", "True", "True"]


def test_a_package_that_is_not_there_is_refused_as_ever() -> None:
    code = "frugal.defer('no_such_package')\ntry:\n    import no_such_package\nexcept ModuleNotFoundError:\n    print('refused')"
    assert said(code) == ["refused"]
