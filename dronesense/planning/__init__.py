"""Before take-off: what a camera and a gas sensor will see from a given flight, and the pattern to fly."""
