"""Looks of the page at `/`: light and dark, nothing loaded from anywhere."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7e; --paper: #f5f6f8; --card: #fff; --line: #e0e4ea;
  --accent: #2458c6; --good: #14713d; --good-bg: #ddf3e4; --wait: #84580a; --wait-bg: #fbeecf; --bad: #a81f2d;
  --bad-bg: #fbe0e2; --idle: #4c5766; --idle-bg: #e7eaef; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ee; --soft: #92a0b4; --paper: #10151c; --card: #181f29;
  --line: #29323f; --accent: #84adff; --good: #7bd79c; --good-bg: #16341f; --wait: #ecc264; --wait-bg: #3a2d10;
  --bad: #ff9a9f; --bad-bg: #43191d; --idle: #aab5c4; --idle-bg: #28313d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 3rem; max-width: 90rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; }
h1 { font-size: 1.4rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.02rem; margin: 2rem 0 .6rem; }
h2 small, header span { color: var(--soft); font-weight: 400; }
nav { margin-left: auto; display: flex; flex-wrap: wrap; gap: 1rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.box { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem .7rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-size: .78rem; font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.why { min-width: 16rem; max-width: 40rem; overflow-wrap: break-word; } .why b { font-weight: 600; }
.soft, small { color: var(--soft); } tbody small { display: block; font-weight: 400; font-size: .8rem; }
td.soft { white-space: nowrap; } td div + div { margin-top: .3rem; }
.state { display: inline-block; padding: .08rem .6rem; border-radius: 99px; font-size: .82rem; font-weight: 600;
  white-space: nowrap; color: var(--idle); background: var(--idle-bg); }
.good { color: var(--good); background: var(--good-bg); } .wait { color: var(--wait); background: var(--wait-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.empty { padding: 1.4rem; color: var(--soft); } ul { margin: .6rem 0 0; padding-left: 1.2rem; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { margin-top: 2rem; color: var(--soft); font-size: .85rem; }
"""
