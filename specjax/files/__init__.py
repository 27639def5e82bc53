"""Files: one codec for every kind, atomic and checked."""
