"""`conductor completion SHELL`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command(
    epilog="\b\nExamples:\n  conductor completion bash > /etc/bash_completion.d/conductor\n"
    '  conductor completion zsh > "${fpath[1]}/_conductor"\n'
    "  conductor completion fish > ~/.config/fish/completions/conductor.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; names of programs are completed from the agent."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "conductor", "_CONDUCTOR_COMPLETE")
    click.echo(script.source_template % script.source_vars(), nl=False)
