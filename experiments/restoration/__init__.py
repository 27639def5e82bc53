"""What learned guidance weights are worth, on spectra, exact denoisers and a network."""
