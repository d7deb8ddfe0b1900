"""TOML into a msgspec struct, with errors that name the file, the key and what would be right."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from dronesense.errors import ManifestError, UnreadableError, did_you_mean
from dronesense.readers.content import patiently

T = TypeVar("T")

MAX_BYTES: Final = 4 << 20
"""Settings are written by hand: a larger file (4 MiB) is something else."""

_SYNTAX = re.compile(r"(?P<what>.*) \(at (?P<place>line \d+, column \d+|end of document)\)", re.DOTALL)
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+|\.\.\.)\]")


def load(path: Path, type: type[T]) -> T:  # noqa: A002  (the name msgspec.convert uses)
    """Read *path* as TOML and convert it to *type*, without any silent conversion.

    Parameters
    ----------
    path : Path
        The file; UTF-8, with or without BOM.
    type : type
        A msgspec struct type; give it ``forbid_unknown_fields=True``.

    Returns
    -------
    instance of *type*

    Raises
    ------
    ManifestError
        If the file cannot be opened, is not TOML (the line is named), or a key is unknown, missing or of the
        wrong type (the key is named, with the nearest known one).
    """
    content = read(path)
    try:
        return msgspec.convert(content, type)
    except msgspec.ValidationError as error:
        raise _explain(path, content, type, str(error)) from error


def read(path: Path) -> dict[str, Any]:
    """Return the content of the TOML file *path* as it stands.

    Raises
    ------
    ManifestError
        If the file cannot be opened or is not TOML.
    """
    try:
        size = path.stat().st_size
        raw = patiently(path.read_bytes, path) if size <= MAX_BYTES else b""
    except UnreadableError:
        raise
    except OSError as error:
        raise ManifestError(f"cannot be opened ({error.strerror})", where=path) from error
    if size > MAX_BYTES:
        raise ManifestError(f"{size} bytes is too large for a TOML file (at most {MAX_BYTES})", where=path)
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ManifestError("is not UTF-8", where=f"{path}, line {line}", fix="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.fullmatch(str(error))
        what, place = (match["what"], match["place"]) if match else (str(error), "")
        raise ManifestError(
            f"is not TOML: {what[:1].lower()}{what[1:]}",
            where=f"{path}, {place}" if place else path,
            fix="texts and file names stand in quotes, a backslash in single quotes",
        ) from error
    except RecursionError as error:
        raise ManifestError("is nested too deeply", where=path) from error


def _explain(path: Path, content: dict[str, Any], type_: Any, message: str) -> ManifestError:
    """Turn a msgspec message into one that names the key and the nearest known one."""
    match = _AT.fullmatch(message)
    what = match["what"] if match else message
    steps = _steps(match["path"] or "$") if match else []
    steps = _resolve(content, steps, type_, message)
    key = _text(steps)
    where = f"{path}, key {key}" if key else str(path)
    known = sorted(_fields(msgspec.inspect.type_info(type_), steps))
    if unknown := _UNKNOWN.fullmatch(what):
        name = unknown["key"]
        near = did_you_mean(name, known)
        return ManifestError(
            f'unknown key "{name}"{near}',
            where=f"{path}, key {_text([*steps, name])}",
            fix=f"known keys here: {', '.join(known)}" if known else None,
        )
    if missing := _MISSING.fullmatch(what):
        return ManifestError(f'the key "{missing["key"]}" is missing', where=where, fix="add it")
    return ManifestError(what[:1].lower() + what[1:], where=where)


def _steps(path: str) -> list[str | int]:
    """Split ``$.a[...].b[0]`` into steps; "..." stands for any key."""
    steps: list[str | int] = []
    for step in _STEP.finditer(path):
        index = step["index"]
        if index is None:
            steps.append(step["key"])
        else:
            steps.append(index if index == "..." else int(index))
    return steps


def _resolve(content: dict[str, Any], steps: list[str | int], type_: Any, message: str) -> list[str | int]:
    """Put real keys in place of "...": the one that alone still gives the same *message*."""
    steps = list(steps)
    for at, step in enumerate(steps):
        if step != "...":
            continue
        table = _descend(content, steps[:at])
        if not isinstance(table, dict):
            return steps
        for key, value in table.items():
            try:
                msgspec.convert(_with(content, steps[:at], {key: value}), type_)
            except msgspec.ValidationError as error:
                if str(error) == message:
                    steps[at] = key
                    break
    return steps


def _descend(content: Any, steps: list[str | int]) -> Any:
    for step in steps:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _with(content: Any, steps: list[str | int], value: Any) -> Any:
    """Return a copy of *content* with *value* at *steps*."""
    if not steps:
        return value
    copy = content.copy()
    copy[steps[0]] = _with(content[steps[0]], steps[1:], value)
    return copy


def _text(steps: list[str | int]) -> str:
    """Return the key path as one writes it in TOML.

    >>> _text(["columns", "CH4 (ppm)", "unit"])
    'columns."CH4 (ppm)".unit'
    >>> _text(["gas", 1, "path"])
    'gas[1].path'
    """
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step == "..." or re.fullmatch(r"[A-Za-z0-9_-]+", step)
            text += ("." if text else "") + (step if plain else f'"{step}"')
    return text


def _fields(info: Any, steps: list[str | int]) -> set[str]:
    """Return the keys that the struct type at *steps* below *info* knows."""
    inspect = msgspec.inspect
    if isinstance(info, inspect.UnionType):
        return set().union(*(_fields(member, steps) for member in info.types))
    if isinstance(info, inspect.StructType):
        if not steps:
            return {field.encode_name for field in info.fields}
        step, *rest = steps
        return set().union(*(_fields(field.type, rest) for field in info.fields if field.encode_name == step))
    if steps and isinstance(info, inspect.DictType):
        return _fields(info.value_type, steps[1:])
    if steps and isinstance(info, inspect.ListType | inspect.VarTupleType):
        return _fields(info.item_type, steps[1:])
    return set()
