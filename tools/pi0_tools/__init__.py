"""Tools around the node: demo, evaluation in closed loop, training, reference fixtures, benchmarks."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
