"""What can a shell complete after `cacheai`? Told from the arguments themselves, so that it never falls behind."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from .terminal import Terminal

BASH: Final = """\
_cacheai() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" verbs="" words="" one
    for one in "${{COMP_WORDS[@]:1:$((COMP_CWORD-1))}}"; do
        case "$verbs $one" in
            {places}) verbs="$verbs $one" ;;
        esac
    done
    case "$verbs|$before" in
{values}
    esac
    case "$verbs" in
{words}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _cacheai cacheai
"""
ZSH: Final = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


@dataclass(frozen=True)
class Place:
    """What may follow some verbs."""

    verbs: tuple[str, ...]
    inner: dict[str, str]  # further verbs and what they do
    options: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]  # names, help, values
    values: tuple[str, ...]  # of a positional

    @property
    def words(self) -> list[str]:
        return [*self.inner, *self.values, *(name for names, _, _ in self.options for name in names)]


def completion(args: Namespace, terminal: Terminal, connect: Any) -> int:
    places = list(_places(args.make_parser()))
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](places)
    terminal.show({"shell": args.shell, "script": script}, script.splitlines())
    return 0


def _places(parser: ArgumentParser, verbs: tuple[str, ...] = ()) -> Iterator[Place]:
    inner: dict[str, Any] = {}
    helps: dict[str, str] = {}
    values: tuple[str, ...] = ()
    options = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = dict(action.choices)
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        elif action.option_strings:
            options.append((tuple(action.option_strings), action.help or "", _values(action)))
        else:
            values = _values(action)
    yield Place(verbs, {name: helps.get(name, "") for name in inner}, tuple(options), values)
    for name, one in inner.items():
        yield from _places(one, (*verbs, name))


def _values(action: argparse.Action) -> tuple[str, ...]:
    return tuple(str(value) for value in action.choices or ())


def _bash(places: list[Place]) -> str:
    verbs = [" ".join(("", *place.verbs)) for place in places]
    values = [
        f'        "{verb}|{name}") COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$word")); return ;;'
        for verb, place in zip(verbs, places, strict=True)
        for names, _, values in place.options
        for name in names
        if values
    ]
    words = [f'        "{verb}") words="{" ".join(place.words)}" ;;' for verb, place in zip(verbs, places, strict=True)]
    known = "|".join(f'"{verb}"' for verb in verbs if verb)
    return BASH.format(places=known, values="\n".join(values), words="\n".join(words))


def _zsh(places: list[Place]) -> str:
    return ZSH + _bash(places)


def _fish(places: list[Place]) -> str:
    lines = ["complete -c cacheai -n __fish_use_subcommand -f"]
    for place in places:
        seen = [f"__fish_seen_subcommand_from {verb}" for verb in place.verbs]
        when = _quoted("; and ".join(seen) or "__fish_use_subcommand")
        lines += [
            f"complete -c cacheai -n {when} -f -a {verb} -d {_quoted(what)}" for verb, what in place.inner.items()
        ]
        lines += [f"complete -c cacheai -n {when} -f -a {value}" for value in place.values]
        for names, what, values in place.options:
            spelt = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names)
            among = f" -x -a {_quoted(' '.join(values))}" if values else ""
            lines.append(f"complete -c cacheai -n {when} {spelt}{among} -d {_quoted(what)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
