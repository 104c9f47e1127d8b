"""Who led and who wrote, as the API server's audit log has it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.charted import LEASE
from tests.cluster.testbed import Document, Testbed

__all__ = ["Ledger"]

NODE_CLAIM = "authentication.kubernetes.io/node-name"
OWNED = {"nodestates", "kernelprograms", "userprograms", "controllerrevisions"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted change, at its revision."""

    revision: int
    resource: str
    node: str
    """Node of the token that it was made with."""
    holder: str
    """Of a Lease: whom it names from then on."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Accepted changes of one namespace's agents by revision, and how many were refused."""

    entries: tuple[Entry, ...]
    refused: int

    @classmethod
    def read(cls, bed: Testbed, namespace: str, since: str) -> Ledger:
        """Read what was asked for since a moment as the log writes it."""
        user = f"system:serviceaccount:{namespace}:agent"
        found: dict[int, Entry] = {}
        refused = 0
        lines = [line for line in bed.audited() if line["stageTimestamp"] > since and line["user"]["username"] == user]
        for line in sorted(lines, key=lambda line: str(line["stageTimestamp"])):
            reference = line.get("objectRef", {})
            name = reference.get("resource", "")
            is_lease = name == "leases" and reference.get("name", LEASE) == LEASE
            is_own_status = name == "nodestates" and reference.get("subresource") == "status"
            if not is_lease and (name not in OWNED or is_own_status):
                continue
            if line["responseStatus"]["code"] >= 300:
                refused += 1
                continue
            made: Document = line.get("responseObject") or {}
            revision = int((made.get("metadata") or {}).get("resourceVersion") or 0)
            # Of a deletion only a Status is answered; what changes nothing answers with a revision that was there.
            if revision and revision not in found:
                holder = (made.get("spec") or {}).get("holderIdentity") or "" if is_lease else ""
                node = line["user"]["extra"][NODE_CLAIM][0]
                found[revision] = Entry(revision, name, node, holder)
        return cls(tuple(entry for _, entry in sorted(found.items())), refused)

    def terms(self) -> list[str]:
        """Hold every change to the Lease before it; answers who held it, one after the other."""
        holder, terms = "", [""]
        for entry in self.entries:
            if entry.resource == "leases":
                holder = entry.holder
                if holder and holder != terms[-1]:
                    terms.append(holder)
            else:
                leads = holder.partition("/")[0]
                assert entry.node == leads, f"{entry.node} wrote {entry} while {holder or 'nobody'} held the lease"
        return terms[1:]

    @property
    def writes(self) -> int:
        """Changes of what only a leader may change."""
        return sum(entry.resource != "leases" for entry in self.entries)
