"""Thin click commands, loaded lazily; the only room that talks to a person."""
