"""Training of the small policies that come with the package, from demonstrations to checkpoint."""
