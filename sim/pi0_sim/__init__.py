"""The simulated ALOHA robot: its scene, its skills, and the ROS 2 node that publishes it."""
