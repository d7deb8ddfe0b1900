"""Detections on the ground -> ranked, merged hotspots."""
