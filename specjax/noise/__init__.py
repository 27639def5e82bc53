"""Noise with a spectrum: bases, families, and the change of basis that whitens it."""
