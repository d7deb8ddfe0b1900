"""Raw -> physical; the same class comes out as goes in, with one line more of history."""
