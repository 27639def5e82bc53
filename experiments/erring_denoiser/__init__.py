"""What schedules gain by counting what a real denoiser errs by."""
