"""What a sampler does to Gaussian data, exactly: transfer functions and losses."""
