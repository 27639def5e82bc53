"""The evidence: each folder is one experiment with its config, results and pictures."""
