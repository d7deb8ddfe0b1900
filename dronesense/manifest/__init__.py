"""``flight.toml`` or a bare folder -> :class:`~dronesense.model.Flight`."""

from dronesense.manifest.discover import Discovery, discover
from dronesense.manifest.draft import draft
from dronesense.manifest.open import is_card, open_file, open_flight

__all__ = ["Discovery", "discover", "draft", "is_card", "open_file", "open_flight"]
