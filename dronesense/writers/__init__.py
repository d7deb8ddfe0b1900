"""Layer -> files."""
