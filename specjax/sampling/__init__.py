"""The step of a sampler, the samplers as tables of numbers, and running them."""
