"""Training levels that the spectrum advises, beside EDM's default."""
