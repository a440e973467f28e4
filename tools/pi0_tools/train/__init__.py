"""Training of the small policy that comes with the package, from demonstrations to checkpoint."""
