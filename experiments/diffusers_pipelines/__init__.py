"""A torch network of diffusers: plans learned through it, and run in diffusers."""
