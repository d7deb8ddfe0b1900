"""Damaged NMEA logs, and the .nav files that are made of the same sentences."""

from __future__ import annotations

import contextlib
import datetime as dt

import numpy as np
from nmea_writer import flight, log

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import nmea, specim
from dronesense.readers.nmea_sentences import Sentences, plain

DAY = TrackOptions(date=dt.date(2026, 6, 14))
_FLIGHT = flight(6)
_OTHERS = [
    "GPVTG,54.7,T,34.4,M,5.5,N,10.2,K",
    "GPGSA,A,2,04,05,,09,12,,,24,,,,,2.5,1.3,2.1",
    "PTNTHPR,254.7,N,-1.7,N,-12.1,N",
    "PMGNTRK,4415.163,N,07631.126,W,00095,F,110833.53,A,,030409",
    "GNZDA,110834,14,06,2026,00,00",
    "GPGLL,4916.45,N,12311.12,W,110835,A,D",
    "SPTSMP,0,1",
    "SPTSMP,0,51",
]
SEEDS = [
    log(_FLIGHT),
    log(_FLIGHT + _OTHERS),
    log(_OTHERS + _FLIGHT),
    log(_FLIGHT).decode().encode("utf-16"),
    b"".join(b"noise \x00\xff" + line for line in log(_FLIGHT).splitlines(keepends=True)),
]


def one(data: bytes) -> None:
    """Read *data* as both formats, with and without a day; only refusals may come out."""
    bytes_ = np.frombuffer(plain(data), dtype=np.uint8)
    for options in (TrackOptions(), DAY):
        for reader in (nmea, specim):
            with contextlib.suppress(ReadError):
                reader.decode(bytes_, label="fuzz", options=options)
    sentences = Sentences(bytes_)
    stamps = np.arange(len(sentences), dtype=np.int64) * 10**7
    specim.frame_marks(sentences, stamps)
