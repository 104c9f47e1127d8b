"""The world of registries: pull, verify, keep, build and push images.

Here: the registry client and its credentials, the forms that images come in, the content-addressed store, signatures.
May import errors, model, ports. Never here: when something is pulled, or what a program does with it.
"""
