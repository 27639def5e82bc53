"""How far the ideal denoiser stands for networks of several sizes and training lengths."""
