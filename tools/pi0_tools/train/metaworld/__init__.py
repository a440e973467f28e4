"""What is Meta-World's own in training: its environment as LeRobot has it, its experts, and a small policy."""
