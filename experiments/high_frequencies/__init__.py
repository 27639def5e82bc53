"""What losses that weigh frequencies otherwise do for the high ones."""
