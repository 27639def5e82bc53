"""Spectra of data: eigenvalues of a covariance, and how they are estimated."""
