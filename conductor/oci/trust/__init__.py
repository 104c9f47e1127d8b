"""Who vouches for an image: the administrator's policy, signatures found beside an image, signing.

`policy` is parsed once and decides which rule an image falls under; `discover` gathers what a registry holds;
`judge` (with `simple`, `bundle`, `keyless`, `keys`) tells who signed what, and runs in a child (`judge_child`) that
`judges` owns: the libraries it needs take 50 MiB, and what they parse came from strangers. `verifier` puts them in
order and `verdicts` remembers. Never imported by the agent's own process: cryptography, sigstore.
"""
