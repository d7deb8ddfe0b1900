"""Physical -> detections in the sensor's own frame (sample index, pixel): no coordinates here."""
