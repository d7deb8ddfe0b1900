"""Records as the arrays and tables of other packages, where those are installed.

``record.to_xarray()`` is :mod:`.arrays`, ``record.to_geopandas()`` is :mod:`.tables`; both packages are the
extra ``dronesense[notebook]`` and are imported on use only. Values, units and uncertainties are those of the
record: nothing is rounded or resampled on the way.
"""

from __future__ import annotations

from importlib.util import find_spec

from dronesense.errors import PluginError


def need(package: str) -> None:
    """Check that *package* is installed.

    Raises
    ------
    PluginError
        If it is not, with the command that installs it.
    """
    if not installed(package):
        raise PluginError(
            f'the package "{package}" is not installed', fix='pip install "dronesense[notebook]"'
        )


def installed(package: str) -> bool:
    """Tell whether *package* can be imported.

    Examples
    --------
    >>> installed("numpy"), installed("no_such_package")
    (True, False)
    """
    try:
        return find_spec(package) is not None
    except ValueError:  # sys.modules says that there is none
        return False
