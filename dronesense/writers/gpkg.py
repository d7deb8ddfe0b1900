"""Every layer in one GeoPackage, which QGIS opens styled and with headings for people.

OGC 12-128r18 (GeoPackage 1.3) with the extension "Schema" for headings and descriptions; the table
``layer_styles`` is QGIS's own. The plug-in "gpkg" of ``dronesense.writers``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dronesense.errors import EvidenceError, ReadError
from dronesense.model import HotspotLayer
from dronesense.writers import layers as layers_module
from dronesense.writers import ogr, style
from dronesense.writers.atomic import replacing
from dronesense.writers.layers import Layers, Table

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

VERSION: Final = "1.3"
"""Newest version that the QGIS of Debian 12 takes without a warning."""
GEOMETRY_COLUMN: Final = "geom"
STYLES: Final = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME
);
"""
DATA_COLUMNS: Final = """
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT,
  mime_type TEXT, constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
  CONSTRAINT gdc_tn UNIQUE (table_name, name)
);
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
  constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC,
  min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
  CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value)
);
CREATE TABLE IF NOT EXISTS gpkg_extensions (
  table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
  scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
"""
SCHEMA_EXTENSION: Final = ("gpkg_schema", "http://www.geopackage.org/spec/#extension_schema", "read-write")


def write(layer: HotspotLayer, path: Path) -> None:
    """Write everything of *layer* that has a place to *path*.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_layers(layers_module.from_layer(layer), path)


def write_layers(layers: Layers, path: Path) -> None:
    """Write *layers* to *path*: same layers, same bytes.

    Raises
    ------
    EvidenceError
        If what was read back differs from what was written.
    OSError
        If the disk is full or the folder cannot be written.
    """
    tables = layers_module.tables(layers)
    moment = layers.moment()
    with replacing(path) as temporary, ogr.at(moment):
        for number, table in enumerate(tables):
            ogr.write_table(
                table,
                temporary,
                driver="GPKG",
                append=number > 0,
                dataset_options={} if number else {"VERSION": VERSION},
                layer_options={
                    "GEOMETRY_NAME": GEOMETRY_COLUMN,
                    "IDENTIFIER": table.title,
                    "DESCRIPTION": f"{table.title}: an indication with its limits, never proof"
                    if table.name.startswith("hotspot")
                    else table.title,
                },
            )
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as database:
                database.execute("BEGIN")
                _add_headings(database, tables)
                _add_styles(database, tables, moment)
                database.execute("COMMIT")
                _check(database, tables, path)
        except sqlite3.Error as error:
            raise OSError(f"{path}: could not be completed ({error})") from error


def _check(database: sqlite3.Connection, tables: Sequence[Table], path: Path) -> None:
    """Raise EvidenceError if the file is not whole: GDAL has reported success on a full disk."""
    whole = database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    counts = {}
    for table in tables:
        query = f'SELECT count(*) FROM "{table.name}"'  # noqa: S608 - names of our own
        counts[table.name] = database.execute(query).fetchone()[0]
    if not whole or counts != {each.name: len(each) for each in tables}:
        raise EvidenceError("does not read back as it was written", where=path, fix="check the disk")


def _add_headings(database: sqlite3.Connection, tables: Sequence[Table]) -> None:
    for statement in filter(str.strip, DATA_COLUMNS.split(";")):
        database.execute(statement)
    for table in tables:
        database.executemany(
            "INSERT OR REPLACE INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            [(table.name, each.name, each.alias, each.alias, each.about) for each in table.columns],
        )
    for name in ("gpkg_data_columns", "gpkg_data_column_constraints"):
        database.execute("INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, ?)", (name, *SCHEMA_EXTENSION))


def _add_styles(database: sqlite3.Connection, tables: Sequence[Table], moment: str) -> None:
    database.execute(STYLES)
    for table in tables:
        look = style.of_table(table.name, {str(each) for each in table.values.get("kind", [])})
        row = (table.name, GEOMETRY_COLUMN, table.name, style.qml(look, table.shape, table.columns).decode())
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
            "styleName, styleQML, styleSLD, useAsDefault, description, owner, ui, update_time) "
            "VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)",
            (*row, moment),
        )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
        (moment,),
    )


def seen(path: Path) -> BaseGeometry | None:
    """Return the ground that was looked at, lon/lat, of the layer ``coverage`` at *path*; None: not told.

    Raises
    ------
    ReadError
        If the file is no GeoPackage.
    """
    import pyogrio
    import shapely

    if not path.is_file():
        return None
    try:
        if "coverage" not in pyogrio.list_layers(path)[:, 0]:
            return None
        _, _, geometry, (kind,) = pyogrio.raw.read(path, layer="coverage", columns=["kind"])
    except pyogrio.errors.DataSourceError as error:
        raise ReadError(f"is no GeoPackage ({error})", where=path) from error
    return shapely.union_all(shapely.from_wkb(geometry[kind == "seen"]))
