"""``[[detect]]``: what to look for, with the signatures and tables that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from dronesense import plugins
from dronesense.detect import background, gas_background, gas_statistics
from dronesense.errors import ManifestError, UnknownFormatError, did_you_mean
from dronesense.manifest.catalog import Catalog
from dronesense.manifest.discover import DETECTOR, SIGNATURE
from dronesense.manifest.schema import (
    DEFAULT_FALSE_ALARM_RATE,
    DEFAULT_FALSE_ALARMS_PER_HOUR,
    MAX_VARIANTS,
    DetectTable,
)
from dronesense.model import DetectRule, Signature
from dronesense.readers import absorption_table


class RuleOpener:
    """Reads what rules name.

    Parameters
    ----------
    where : Path
        Manifest or folder, for errors.
    catalog : Catalog
        Calibration folders.
    one : callable
        The one file of a path in the manifest, and which key it stands in.
    used : callable
        Notes a file that was read, its role and report.
    signature : callable
        Reads the signature of a file, and its role.
    """

    def __init__(
        self,
        *,
        where: Path,
        catalog: Catalog,
        one: Callable[[str, str], Path],
        used: Callable[..., None],
        signature: Callable[[Path, str], Signature],
    ) -> None:
        self._where, self._catalog = where, catalog
        self._one, self._used, self._signature = one, used, signature

    def _variants(self, names: str | Sequence[str], number: int) -> list[Signature]:
        """Return the signatures of a target: one of each file, or several of one that holds its variants."""
        key = f"[[detect]] number {number + 1}, signature"
        found: list[Signature] = []
        for name in [names] if isinstance(names, str) else names:
            path = self._catalog.signature_file(name) or self._one(name, key)
            if path.stat().st_size and not plugins.claims(SIGNATURE, path):
                raise UnknownFormatError(
                    f"{path.name} is not recognised as a signature",
                    where=f"{self._where}, {key}",
                    fix=f"bring a table of numbers in first: dronesense signatures import {path.name}",
                )
            members, report = plugins.find(SIGNATURE, plugins.sniff(SIGNATURE, path)).read_all(path)
            self._used(path, "signature", report)
            found += members
        if len(found) > MAX_VARIANTS:
            raise ManifestError(
                f"{key}: {len(found)} spectra are a library, not {MAX_VARIANTS} variants of one target",
                where=self._where,
                fix="take out those of the target: dronesense signatures import",
            )
        if len({each.quantity for each in found}) > 1:
            raise ManifestError(
                f"{key}: the signatures are of several quantities",
                where=self._where,
                fix="give signatures of one quantity, e.g. all in reflectance",
            )
        return found

    def _column_rule(self, table: DetectTable, number: int) -> DetectRule:
        """Return a rule that seeks a gas in cubes."""
        path = self._one(str(table.absorption), f"[[detect]] number {number + 1}, absorption")
        absorption, report = absorption_table.read(path, species=str(table.species))
        self._used(path, "absorption", report)
        rate = table.false_alarm_rate
        if rate is None and table.threshold is None:
            rate = DEFAULT_FALSE_ALARM_RATE
        return DetectRule(
            table.target,
            species=table.species,
            absorption=absorption,
            false_alarm_rate=rate,
            threshold=table.threshold,
            min_pixels=table.min_pixels,
        )

    def rule(self, table: DetectTable, number: int) -> DetectRule:
        """Return the rule of table *number*, counted from 0.

        Raises
        ------
        ManifestError
            If a method or background is not known, or what it names cannot be used together.
        ReadError
            If a signature or a table of absorption cannot be read.
        """
        if table.absorption is not None:
            return self._column_rule(table, number)
        spectral = table.species is None
        methods = plugins.names(DETECTOR) if spectral else gas_statistics.METHODS
        for key, chosen, known in (
            ("method", table.method, methods),
            ("background", table.background, background.KINDS if spectral else gas_background.STARTS),
        ):
            if chosen is not None and chosen not in known:
                raise ManifestError(
                    f'[[detect]] number {number + 1}, {key} = "{chosen}" is not known'
                    f"{did_you_mean(chosen, known)}",
                    where=self._where,
                    fix=f"use one of: {', '.join(known)}",
                )
        if table.background == "clusters" and (table.signature is not None or table.method != "rx"):
            raise ManifestError(
                f'[[detect]] number {number + 1}: background = "clusters" is for method = "rx" alone',
                where=self._where,
                fix='use background = "scene", "columns" or "local" with a signature',
            )
        values = {key: value for key, value in msgspec.to_builtins(table).items() if value is not None}
        if table.signature is not None:
            values["signature"], *others = self._variants(table.signature, number)
            values["variants"] = tuple(others)
            values["confusers"] = tuple(
                self._signature(
                    self._catalog.signature_file(each)
                    or self._one(each, f"[[detect]] number {number + 1}, confusers"),
                    "signature",
                )
                for each in table.confusers or ()
            )
            if table.threshold is None:
                values.setdefault("false_alarm_rate", DEFAULT_FALSE_ALARM_RATE)
        elif spectral:
            if plugins.find(DETECTOR, table.method or "").needs_signature:
                raise ManifestError(
                    f'[[detect]] number {number + 1}: method = "{table.method}" needs a signature',
                    where=self._where,
                    fix='set signature = "...", or method = "rx" for anomalies of any kind',
                )
            if table.threshold is None:
                values.setdefault("false_alarm_rate", DEFAULT_FALSE_ALARM_RATE)
        elif table.threshold_sigma is None:
            values.setdefault("false_alarms_per_hour", DEFAULT_FALSE_ALARMS_PER_HOUR)
        return DetectRule(**values)
