"""What the spectrum of data says about training and sampling: ranges, densities, shifts."""
