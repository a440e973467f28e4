"""Tools around the node: demo, evaluation in closed loop, training, reference fixtures, benchmarks."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# The small π0; paths to other checkpoints take its place.
SHIPPED_CHECKPOINT = CHECKOUT / "checkpoints/aloha_sim"
