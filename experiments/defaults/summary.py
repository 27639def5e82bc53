"""The tables and claims of defaults."""
