"""Proxies out of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from conductor.oci.registry_entries import Problems, proxy_of

__all__ = ["Proxies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Proxies for TLS and for plain http, and the hosts that are reached without."""

    tls: str = field(default="", repr=False)
    """May hold a password, as `plain`."""
    plain: str = field(default="", repr=False)
    without: tuple[str, ...] = ()

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> tuple[Self, Problems]:
        """Read the environment; the lower-case variable wins, as everywhere."""
        problems: Problems = []

        def read(*names: str) -> str:
            for name in names:
                if value := environ.get(name, "").strip():
                    try:
                        return proxy_of(value)
                    except ValueError as exc:
                        problems.append((name, str(exc)))
                        return ""
            return ""

        tls = read("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        # No HTTP_PROXY: a CGI server sets that one from a request's header.
        plain = read("http_proxy", "all_proxy", "ALL_PROXY")
        listed = environ.get("no_proxy") or environ.get("NO_PROXY", "")
        return cls(tls=tls, plain=plain, without=tuple(filter(None, map(str.strip, listed.split(","))))), problems

    def of(self, host: str, *, plain: bool) -> str:
        """Proxy on the way to a host (with its port); loopback never has one."""
        proxy = self.plain if plain else self.tls
        return "" if not proxy or self._passes_by(host) else proxy

    def _passes_by(self, host: str) -> bool:
        bare = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            return bare == "localhost" or any(_covers(rule.lower(), bare, host) for rule in self.without)
        return address.is_loopback or any(_holds(rule, address, host) for rule in self.without)


def _covers(rule: str, bare: str, host: str) -> bool:
    domain = rule.removeprefix("*").removeprefix(".")
    return rule in {"*", host} or bare == domain or bare.endswith(f".{domain}")


def _holds(rule: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> bool:
    if rule in {"*", host}:
        return True
    try:
        return address in ipaddress.ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        return False
