"""Tables of the documentation that list the options of the command line."""

import re
from collections import Counter

from smilefusion.cli._main import _COMMANDS, _make_parser

# Options with the same meaning in this many commands have a table of their own.
_MIN_COMMANDS = 6


def list_options(command):
    """Return the arguments and options of a command."""
    rows = [describe(action) for action in actions(command) if not is_shared(action)]
    shared = [action.option_strings[0] for action in actions(command) if is_shared(action)]
    if shared:
        rows.append((", ".join(f"``{name}``" for name in shared), "see `Videos and tables`_"))
    return [("option", "meaning"), *rows]


def list_shared_options():
    """Return the options that most commands have."""
    found = {a.option_strings[0]: a for name in _COMMANDS for a in actions(name) if is_shared(a)}
    return [("option", "meaning"), *map(describe, found.values())]


def actions(command):
    """Return the arguments and options of a command, without the option for help."""
    (choice,) = (each for each in _make_parser()._actions if each.dest == "command")
    return [each for each in choice.choices[command]._actions if each.dest != "help"]


def is_shared(action):
    """Whether most commands have this option with the same meaning."""
    counts = Counter(each.help for name in _COMMANDS for each in actions(name))
    return bool(action.option_strings) and counts[action.help] >= _MIN_COMMANDS


def describe(action):
    """Return the name of an option with its value, and its meaning."""
    value = value_name(action)
    name, *short = action.option_strings or [""]
    required = " (required)" if name and action.required else ""
    names = [f"{name} {value}".strip(), *short]
    return ", ".join(f"``{each}``" for each in names), as_literals(action.help) + required


def value_name(action):
    """Return what stands for the value of an option in its usage."""
    if action.nargs == 0:
        return ""
    if action.choices:
        name = "|".join(map(str, action.choices))
    else:
        name = action.metavar or ("N" if action.type else action.dest.upper())
    name = " ".join(name) if isinstance(name, tuple) else name
    return f"{name} ..." if action.nargs == "+" else name


def as_literals(text):
    """Mark options, file names and values of a help text as literals."""
    names = r"(?:--|\.)[a-z][\w-]*|[a-zA-Z]\w*[._]\w[\w.]*(?:,\w+)*"
    return re.sub(rf"'([^ ]+)'|(?<!\w)({names})", mark, text)


def mark(match):
    """Return a match as a literal."""
    return f"``{match[1] or match[2]}``"


TABLES = {
    "options_shared": list_shared_options,
    **{f"options_{name}": lambda name=name: list_options(name) for name in _COMMANDS},
}
