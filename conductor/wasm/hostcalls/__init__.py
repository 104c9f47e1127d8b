"""Host functions by topic. A method named like an import is that import; it answers a number or raises `Refused`."""
