"""TOML settings: every mistake is named with its file, key and line."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from dronesense.errors import ManifestError
from dronesense.readers import toml


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    unit: str
    sigma: float = 0.0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    columns: dict[str, Inner] = {}
    gas: list[Inner] = []
    either: str | Inner = ""
    when: datetime | None = None


@pytest.fixture
def load(tmp_path):
    def _load(text: str | bytes) -> Outer:
        path = tmp_path / "s.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return toml.load(path, Outer)

    return _load


def test_good(load):
    outer = load(
        'schema = 1\nwhen = 2026-06-01T00:00:00Z\n[columns]\n"CH4 (ppm)" = { unit = "ppm", sigma = 1 }\n'
    )
    assert outer.columns["CH4 (ppm)"] == Inner("ppm", 1.0)
    assert outer.when == datetime(2026, 6, 1, tzinfo=UTC)


def test_byte_order_mark(load):
    assert load(b"\xef\xbb\xbfschema = 1\n").schema == 1


def test_unknown_key_at_top(load):
    with pytest.raises(ManifestError, match='unknown key "colums", did you mean "columns"') as error:
        load("schema = 1\n[colums]\n")
    assert "s.toml, key colums" in str(error.value)


def test_unknown_key_below_a_free_key_names_it(load):
    with pytest.raises(ManifestError, match='did you mean "sigma"') as error:
        load('schema = 1\n[columns]\n"A" = { unit = "m" }\n"B (x)" = { unit = "m", sigmma = 1.0 }\n')
    assert 'columns."B (x)".sigmma' in str(error.value)


def test_wrong_type_below_a_free_key_names_it(load):
    with pytest.raises(ManifestError, match="expected `float`, got `str`") as error:
        load('schema = 1\n[columns]\nA = { unit = "m" }\nB = { unit = "m", sigma = "1" }\n')
    assert "columns.B.sigma" in str(error.value)


def test_list_items_are_counted(load):
    with pytest.raises(ManifestError, match="missing") as error:
        load('schema = 1\n[[gas]]\nunit = "ppm"\n[[gas]]\nsigma = 1.0\n')
    assert "gas[1]" in str(error.value)
    assert '"unit"' in str(error.value)


def test_unknown_key_in_a_union(load):
    with pytest.raises(ManifestError, match='did you mean "unit"'):
        load('schema = 1\neither = { unit = "m", unt = "m" }\n')


def test_no_silent_conversion(load):
    with pytest.raises(ManifestError, match="expected `int`"):
        load('schema = "1"\n')
    with pytest.raises(ManifestError, match="expected `int`"):
        load("schema = 1.5\n")


def test_missing_key(load):
    with pytest.raises(ManifestError, match='"schema" is missing'):
        load("")


@pytest.mark.parametrize(
    ("text", "place"),
    [("schema = 1\nx = \n", "line 2"), ("schema = 1\nschema = 2\n", "line 2"), ("schema = [1", "s.toml")],
)
def test_syntax_error_names_the_line(load, text, place):
    with pytest.raises(ManifestError, match="is not TOML") as error:
        load(text)
    assert place in str(error.value)


def test_windows_path_in_double_quotes(load):
    with pytest.raises(ManifestError, match="single quotes"):
        load('schema = 1\nx = "C:\\Users\\x"\n')


def test_wrong_encoding_names_the_line(load):
    with pytest.raises(ManifestError, match="UTF-8") as error:
        load("schema = 1\n# °\n".encode("latin-1"))
    assert "line 2" in str(error.value)


def test_deep_nesting(load):
    with pytest.raises(ManifestError):
        load("schema = " + "[" * 100_000)


def test_absent(tmp_path):
    with pytest.raises(ManifestError, match="cannot be opened"):
        toml.load(tmp_path / "no.toml", Outer)
