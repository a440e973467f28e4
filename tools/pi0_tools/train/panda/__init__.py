"""What is the Panda's own in training: its scripted expert, what goes wrong with it, and its small policy."""
