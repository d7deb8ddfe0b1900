"""Delimited text: every way a logger, a spreadsheet or a power failure leaves it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers.table import CUT_ROW, LONG_ROW, OPEN_END, SHORT_ROW, read_names, read_table

PLAIN = "time,CH4 (ppm)\n1,2.0\n2,2.5\n"


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_plain(tmp_path):
    table = read_table(_write(tmp_path, PLAIN))
    assert table.names == ["time", "CH4 (ppm)"]
    assert table.text("time") == ["1", "2"]
    np.testing.assert_array_equal(table.numbers("CH4 (ppm)"), [2.0, 2.5])
    np.testing.assert_array_equal(table.row, [2, 3])
    assert table.row.dtype == np.int64
    assert not table.warnings
    assert not table.dropped
    assert table.closed() is table


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_line_ends_delimiters(tmp_path, encoding, end, mark):
    text = PLAIN.replace("\n", end).replace(",", mark)
    table = read_table(_write(tmp_path, text.encode(encoding)))
    assert table.names == ["time", "CH4 (ppm)"]
    np.testing.assert_array_equal(table.numbers("CH4 (ppm)"), [2.0, 2.5])
    assert not table.warnings


def test_latin_1_is_read_and_said(tmp_path):
    table = read_table(_write(tmp_path, "t,T (°C)\n1,20\n".encode("latin-1")))
    assert table.names == ["t", "T (°C)"]
    assert any("Latin-1" in warning for warning in table.warnings)


def test_padding_quotes_and_trailing_delimiters(tmp_path):
    table = read_table(_write(tmp_path, '   Time ,  [CH4]_ppm ,\n 1 , "2.5" ,\n\n2,3.5,\n'))
    assert table.names == ["Time", "[CH4]_ppm"]
    np.testing.assert_array_equal(table.numbers("[CH4]_ppm"), [2.5, 3.5])
    np.testing.assert_array_equal(table.row, [2, 4])  # the blank line counts as a line


def test_quoted_line_end_keeps_line_numbers(tmp_path):
    table = read_table(_write(tmp_path, 't,note\n1,"two\nlines"\n2,x\n'))
    assert table.text("note") == ["two\nlines", "x"]
    np.testing.assert_array_equal(table.row, [2, 4])


def test_missing_values(tmp_path):
    table = read_table(_write(tmp_path, "a\n1\nNaN\nnan\n-200\nNo Data\n2\n"), missing=("-200", "No Data"))
    np.testing.assert_array_equal(table.numbers("a"), [1, np.nan, np.nan, np.nan, np.nan, 2])
    assert np.isnan(read_table(_write(tmp_path, "a,b\n,1\n")).numbers("a")).all()


@pytest.mark.parametrize("text", ["ERR", "1_000", "0x10", "1 2", "--"])
def test_garbage_is_named(tmp_path, text):
    table = read_table(_write(tmp_path, f"a,b\n1,2\n3,{text}\n"))
    with pytest.raises(ReadError, match="is not a number") as error:
        table.numbers("b")
    assert f'"{text}"' in str(error.value)
    assert "line 3, column b" in str(error.value)
    assert "t.csv" in str(error.value)


def test_a_comma_that_can_only_be_a_decimal_comma_is_one(tmp_path):
    table = read_table(_write(tmp_path, "a;b;c\n1;2,5;1,234\n2;-3;-0,5e-2\n"))
    np.testing.assert_array_equal(table.numbers("b"), [2.5, -3.0])
    np.testing.assert_array_equal(table.numbers("c"), [1.234, -0.005])
    assert table.assumptions == ("decimals are written with a comma",)


@pytest.mark.parametrize(
    "text",
    [
        "a;b\n1;1,234\n2;12,345\n",  # 1.234 or 1234?
        "a;b\n1,5;1.234\n2;12,5\n",  # 1.234 or 1234?
        "a;b\n1,5;1,234,567\n",
        'a,b\n1,"2,5"\n',
    ],
)
def test_a_comma_that_may_part_thousands_is_refused(tmp_path, text):
    with pytest.raises(ReadError, match="decimals with a point"):
        read_table(_write(tmp_path, text)).numbers("b")


def test_the_heading_line_is_where_the_headings_are(tmp_path):
    text = 'sep=\t\n\n"Made by, and for: us"\nModel:\tX\nTime\tCH4 (ppm)\n0\t2.0\n1\t\n'
    table = read_table(_write(tmp_path, text), headings=["Time", "CH4 (ppm)"])
    assert table.names == ["Time", "CH4 (ppm)"]
    assert table.row.tolist() == [6, 7]
    assert table.assumptions == ("headings found on line 5",)
    assert read_names(tmp_path / "t.csv", headings=["CH4 (ppm)"]) == table.names


def test_a_misspelt_heading_still_gets_its_hint(tmp_path):
    table = read_table(_write(tmp_path, "SN: 4\nTime,CH4\n0,2.0\n"), headings=["Time", "CH5"])
    with pytest.raises(ReadError, match='did you mean "CH4"'):
        table.text("CH5")


@pytest.mark.parametrize("delimiter", [None, " "])
def test_columns_parted_by_blanks(tmp_path, delimiter):
    rows = ["  DATE      TIME     CH4  ", "2026-06-14 05:00:00 \t 2.0  ", "2026-06-14  05:00:01   2.5  "]
    text = "\n".join([*rows, "2026-06-14 05:0"])
    table = read_table(_write(tmp_path, text), delimiter=delimiter, headings=["DATE", "TIME", "CH4"])
    np.testing.assert_array_equal(table.numbers("CH4"), [2.0, 2.5])
    assert table.row.tolist() == [2, 3]
    assert table.dropped == {CUT_ROW: 1}


def test_a_table_without_headings_is_refused(tmp_path):
    with pytest.raises(ReadError, match=r"no heading line.*names of the columns"):
        read_table(_write(tmp_path, "1733947525 -1 0.5\n1733947529 -1 0.5\n"), headings=["Time"])


def test_unknown_column(tmp_path):
    with pytest.raises(ReadError, match='did you mean "time"'):
        read_table(_write(tmp_path, PLAIN)).text("tiem")


def test_duplicate_heading_is_refused_only_when_asked(tmp_path):
    table = read_table(_write(tmp_path, "t,a,a\n1,2,3\n"))
    np.testing.assert_array_equal(table.numbers("t"), [1.0])
    with pytest.raises(ReadError, match="2 columns"):
        table.numbers("a")


def test_ragged_rows_are_counted_and_named(tmp_path):
    table = read_table(_write(tmp_path, "a,b\n1\n2,3\n4,5,6\n7,8\n"))
    np.testing.assert_array_equal(table.numbers("a"), [2, 7])
    assert table.dropped == {SHORT_ROW: 1, LONG_ROW: 1}
    assert any("line 2" in warning for warning in table.warnings)
    assert any("line 4" in warning for warning in table.warnings)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\0\0\0\0"])
def test_empty_is_refused(tmp_path, content):
    with pytest.raises(ReadError, match="empty"):
        read_table(_write(tmp_path, content))


def test_a_heading_line_without_headings_is_refused(tmp_path):
    for content in (",,\n", '""\n'):
        with pytest.raises(ReadError, match="heading"):
            read_table(_write(tmp_path, content))


def test_absent_is_refused(tmp_path):
    with pytest.raises(ReadError, match="cannot be opened"):
        read_table(tmp_path / "no.csv")


def test_header_only_is_an_empty_table(tmp_path):
    table = read_table(_write(tmp_path, "a,b\n"))
    assert len(table) == 0
    assert table.numbers("b").shape == (0,)


def test_names_alone_need_only_the_head(tmp_path):
    assert read_names(_write(tmp_path, "  a , b\n1,2\n" + "3,4\n" * 100_000)) == ["a", "b"]
    assert read_names(_write(tmp_path, "a;b".encode("utf-16"))) == ["a", "b"]
    assert read_names(_write(tmp_path, "T (°C)\n" + "°" * 40_000)) == ["T (°C)"]
    assert read_names(_write(tmp_path, "T (°C)\n" + "°\n" * 30_001)) == ["T (°C)"]
    assert read_names(_write(tmp_path, b"")) == []


def test_zeros_at_the_end_after_a_power_loss(tmp_path):
    table = read_table(_write(tmp_path, PLAIN.encode() + bytes(100)))
    np.testing.assert_array_equal(table.numbers("time"), [1, 2])
    assert any("100 zero bytes" in warning for warning in table.warnings)


def test_zeros_inside_are_refused(tmp_path):
    with pytest.raises(ReadError, match="line 3"):
        read_table(_write(tmp_path, b"a,b\n1,2\n\0\0\n3,4\n"))


def test_unclosed_quote_is_not_a_silent_loss(tmp_path):
    with pytest.raises(ReadError, match="line 2"):
        read_table(_write(tmp_path, 'a,b\n1,"2\n3,4\n5,6\n'))


def test_every_cut_of_the_file_is_noticed_or_ends_a_row(tmp_path):
    content = 'time,note,CH4 (ppm)\r\n1,"a, b",2.0\r\n2,"c",2.5\r\n'
    lines = [content.index("\r\n") + 1]  # a lone carriage return also ends a row
    ends = {at + step for at, char in enumerate(content) if char == "\r" for step in (1, 2)}
    assert lines[0] in ends
    for length in range(1, len(content)):
        try:
            table = read_table(_write(tmp_path, content[:length]))
        except ReadError:
            continue
        noticed = bool(table.warnings)
        assert noticed == (length not in ends), length
        if not noticed:
            continue
        assert OPEN_END in table.warnings or table.dropped
        whole = table.closed()
        expected = [
            row
            for row, end in (("1", content.index("2.0\r") + 4), ("2", content.index("2.5\r") + 4))
            if length >= end
        ]
        if "time" in whole.names:
            assert whole.text("time") == expected, length


def test_closed_drops_the_row_that_may_be_cut(tmp_path):
    table = read_table(_write(tmp_path, "a,b\n1,2.5\n2,3."))
    assert len(table) == 2
    whole = table.closed()
    np.testing.assert_array_equal(whole.numbers("a"), [1])
    assert whole.dropped == {CUT_ROW: 1}


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff", exclude_categories=["Cs"]), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(cells, min_size=2, max_size=2), max_size=8))
def test_what_csv_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = read_table(path)
    expected = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    assert [list(pair) for pair in zip(table.text("a"), table.text("b"), strict=True)] == expected


def test_real_merged_file(shared_data):
    path = shared_data / "gas" / "uav_aeris_nmt" / "level0.csv"
    table = read_table(path)
    with path.open(newline="") as stream:
        truth = list(csv.DictReader(stream))
    assert len(table) == len(truth)
    assert not table.warnings
    expected = np.array([float(row["CH4"] or "nan") for row in truth])
    np.testing.assert_array_equal(table.numbers("CH4"), expected)
    np.testing.assert_array_equal(table.row, np.arange(2, len(truth) + 2))
