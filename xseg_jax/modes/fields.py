"""Every field of a config, with its default and what it does, as configs/default.py says it."""

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xseg_jax.errors import InputError

DEFAULT = Path(__file__).parents[2] / "configs" / "default.py"
WIDTH, INDENT = 100, 42
CHOICES = re.compile(r"\w+(?: \| \w+)+(?=:)")


@dataclass(frozen=True)
class Field:
    """A field, or a group of them.

    Attributes:
      name: dotted.
      default: as the config file writes it; "" for a group.
      text: what it does, from the comment behind it, or else above it.
    """

    name: str
    default: str
    text: str

    @property
    def choices(self) -> tuple[str, ...]:
        """All values that it can have, where the text begins with them: "a | b: what it is"."""
        found = CHOICES.match(self.text)
        return tuple(found[0].split(" | ")) if found else ()


def read_fields(path: Path = DEFAULT) -> list[Field]:
    """The fields and groups of a config file, in its order.

    Args:
      path: of a file as configs/default.py, which sets `config.FIELD = value`, a line each.
    """
    source = path.read_text(encoding="utf-8")
    comments = {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)):
            continue
        name = ast.unparse(node.targets[0]).removeprefix("config.")
        value = ast.get_source_segment(source, node.value) or ""
        behind = comments.get(node.end_lineno or node.lineno)
        text = behind[0] if behind else " ".join(reversed([*_above(comments, node.lineno)]))
        found.append(Field(name, "" if value == "ConfigDict()" else value, text))
    return found


def _above(comments: dict[int, tuple[str, bool]], line: int) -> Iterator[str]:
    """Lines of a comment that ends above a line, from its last to its first."""
    while (line := line - 1) in comments and comments[line][1]:
        yield comments[line][0]


def help_on_fields(prefix: str = "", fields: Sequence[Field] | None = None) -> str:
    """A line or some for each field: its name and default, and what it does.

    Args:
      prefix: dotted name of a field or a group; "" for all.
      fields: of `read_fields`, or those of configs/default.py.

    Raises:
      InputError: there is no such field.
    """
    prefix = prefix.removeprefix("--").removeprefix("config.").rstrip(".")
    every = read_fields() if fields is None else fields
    chosen = [one for one in every if f"{one.name}.".startswith(f"{prefix}." if prefix else "")]
    if not chosen:
        groups = ", ".join(one.name for one in every if not one.default)
        raise InputError(f"--help_config={prefix}: no such field; the groups are {groups}")
    lines = [
        "Set one by --config.NAME=VALUE, as --config.data.crop=256; what stands here are the",
        "defaults of configs/default.py, of which other configs change some.",
        "",
    ]
    for one in chosen:
        if one.default:
            head = f"{one.name} = {one.default}"
            lines += _aligned(head, one.text)
        else:
            lines += ["", *textwrap.wrap(f"{one.name}: {one.text}", WIDTH)]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _aligned(head: str, text: str) -> list[str]:
    """A field with its text beside it, or below where there is no room."""
    indent = " " * INDENT
    beside = len(head) + 4 <= INDENT
    first = f"  {head:<{INDENT - 2}}" if beside else indent
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )
    return lines if beside else [f"  {head}", *lines]
