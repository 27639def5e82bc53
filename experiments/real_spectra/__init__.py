"""The spectra of real images and sound: their schedules, and what those cost elsewhere."""
