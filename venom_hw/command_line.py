"""Several commands behind one command line: `python -m PACKAGE COMMAND`. Imports nothing of the project.

A command is a module with `main(argv) -> int`; it is imported only when it is asked for, so that help is instant.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """name as typed; module below the package, whose `main` gets the arguments; summary for the list of commands;
    prefix: arguments put before the user's.
    """

    name: str
    module: str
    summary: str
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandLine:
    """package: whose modules run, lying in `folder`; groups: title -> commands; header and footer of the help."""

    package: str
    folder: Path
    version: str
    groups: Mapping[str, tuple[Command, ...]]
    header: str
    footer: str

    def exists(self, command: Command) -> bool:
        """Whether the module's file is there; nothing is imported."""
        return self.folder.joinpath(*command.module.split(".")).with_suffix(".py").is_file()

    def commands(self) -> dict[str, Command]:
        """The commands whose modules are there, by name."""
        return {command.name: command for group in self.groups.values() for command in group if self.exists(command)}

    def help_text(self) -> str:
        """All commands by group, and the usual order of using them."""
        width = 2 + max(len(command.name) for group in self.groups.values() for command in group)
        parts = [self.header]
        for title, group in self.groups.items():
            rows = [f"  {c.name:<{width}}{c.summary}" for c in group if self.exists(c)]
            if rows:
                parts.append("\n".join([f"{title}:", *rows, ""]))
        return "\n".join([*parts, self.footer])

    def run(self, command: Command, argv: Sequence[str]) -> int:
        """The command's exit status."""
        module = importlib.import_module(f"{self.package}.{command.module}")
        return int(module.main([*command.prefix, *argv]) or 0)

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the command that the arguments name; its exit status, 2 for a command that does not exist."""
        argv = sys.argv[1:] if argv is None else list(argv)
        if argv[:1] == ["help"] and len(argv) == 2:
            argv = [argv[1], "--help"]
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(self.help_text(), end="")
            return 0
        if argv[0] in ("-V", "--version"):
            print(self.version)
            return 0
        known = self.commands()
        command = known.get(argv[0]) or known.get(argv[0].replace("_", "-"))
        if command is None:
            print(self._unknown(argv[0], known), file=sys.stderr)
            return 2
        try:
            return self.run(command, argv[1:])
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            return 130

    def _unknown(self, name: str, known: Mapping[str, Command]) -> str:
        close = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(known)}"
        return f"error: no command '{name}': {hint} (python -m {self.package} --help lists them)"
