"""Tables into files of GDAL's vector drivers, through pyogrio.

pyogrio brings a GDAL of its own beside the one of rasterio; neither sees the other's settings or data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely

from dronesense.writers.layers import Table
from dronesense.writers.markup import clean

CRS: Final = "EPSG:4326"
GDAL_UTC: Final = 100
"""GDAL's code for "this time is in UTC" (OGR_F_SetFieldDateTime)."""
ARRAY_TYPES: Final[dict[str, Any]] = {
    "text": object,
    "integer": np.int64,
    "real": np.float64,
    "time": "datetime64[ms]",
}


def gdal_versions() -> dict[str, str]:
    """Return the version of the GDAL inside pyogrio, for the run manifest."""
    import pyogrio

    return {"gdal (pyogrio)": str(pyogrio.__gdal_version_string__)}


def write_table(table: Table, path: Path, *, driver: str, append: bool, **options: Any) -> None:
    """Write *table* as a layer of the file *path*; *options* go to :func:`pyogrio.raw.write`.

    Raises
    ------
    OSError
        If GDAL cannot write it.
    """
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError
    from pyogrio.raw import write

    nothing = {"text": None, "integer": 0, "real": np.nan, "time": "NaT"}
    data, masks, zones = [], [], {}
    for column in table.columns:
        cells = table.values[column.name]
        known = [nothing[column.kind] if cell is None else cell for cell in cells]
        if column.kind == "text":
            known = [cell if cell is None else clean(str(cell)) for cell in known]
        elif column.kind == "time":
            known = [str(cell).removesuffix("Z") for cell in known]
            zones[column.name] = np.full(len(cells), GDAL_UTC, dtype=np.int32)
        data.append(np.array(known, dtype=ARRAY_TYPES[column.kind]))
        masks.append(np.array([cell is None for cell in cells], dtype=bool))
    shapes = np.array(table.geometries, dtype=object)
    if table.shape != "Point":
        shapes = np.array([_multi(each, table.shape) for each in table.geometries], dtype=object)
    try:
        write(
            str(path),
            shapely.to_wkb(shapes) if len(table) else np.empty(0, dtype=object),
            data,
            [column.name for column in table.columns],
            field_mask=masks,
            layer=table.name,
            driver=driver,
            geometry_type=table.shape,
            crs=CRS,
            encoding="UTF-8",
            append=append,
            gdal_tz_offsets=zones,
            **options,
        )
    except (DataSourceError, DataLayerError, FieldError, GeometryError) as error:
        raise OSError(f"{path}: GDAL could not write it ({error})") from error


def read_texts(path: Path, column: str) -> list[str]:
    """Return the texts of one column of a file with one layer.

    Raises
    ------
    OSError
        If GDAL cannot read it.
    """
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read

    try:
        _, _, _, data = read(str(path), columns=[column], read_geometry=False)
    except (DataSourceError, DataLayerError) as error:
        raise OSError(f"{path}: GDAL cannot read it back ({error})") from error
    return [str(text) for text in data[0]]


@contextlib.contextmanager
def at(moment: str) -> Iterator[None]:
    """Let GDAL stamp what it writes with *moment* in place of the clock: same layer, same bytes."""
    import pyogrio

    name = "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(name)
    pyogrio.set_gdal_config_options({name: moment})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({name: before})


def _multi(geometry: Any, shape: str) -> Any:
    return geometry if geometry.geom_type == shape else getattr(shapely, shape)([geometry])
