"""Sensor frame -> ground, with a covariance."""
