"""The picture of defaults."""
