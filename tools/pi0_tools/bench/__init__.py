"""Benchmarks of the node beside LeRobot and PyTorch."""
