"""The reference of the commands, written from their help. :mod:`pages` puts it into its page."""

import inspect
import re
from typing import Any

import typer.main

from equigrad.cli import app

__all__ = ["reference"]


def reference() -> str:
    """Return a section for each command: what it does, its arguments and options, examples."""
    return "\n".join(_sections("equigrad", typer.main.get_command(app)))


def _sections(name: str, command: Any) -> list[str]:
    children = getattr(command, "commands", None)
    if children is None:
        return [_section(name, command)]
    return [part for key, child in children.items() for part in _sections(f"{name} {key}", child)]


def _section(name: str, command: Any) -> str:
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    words = [_usage(p) for p in shown if p.param_type_name == "argument"]
    if any(p.param_type_name == "option" for p in shown):
        words.append("[OPTIONS]")
    text = _markdown(inspect.cleandoc(command.help or ""))
    rows = "".join(f"| {_spelling(p)} | {_markdown(p.help or '')} |\n" for p in shown)
    table = f"\n| argument or option | meaning |\n|---|---|\n{rows}" if rows else ""
    return f"## `{' '.join([name, *words])}`\n\n{text}\n{table}"


def _usage(argument: Any) -> str:
    word: str = argument.name.upper()
    return word if argument.required else f"[{word}]"


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    spelled = ", ".join(f"`{word}`" for word in parameter.opts)
    return f"{spelled} `{parameter.metavar}`" if parameter.metavar else spelled


def _markdown(text: str) -> str:
    """Return Rich's mark-up of a help text as Markdown; lines of one paragraph are joined."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    plain = "\n\n".join(paragraphs).replace("|", "\\|")
    return re.sub(r"\[bold\](.*?)\[/(?:bold)?\]", r"`\1`", plain)
