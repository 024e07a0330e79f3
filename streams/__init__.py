"""Map of this package (written with its content)."""
