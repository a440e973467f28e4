//! Checkpoints of LeRobot and openpi: weights, configuration, normalisation statistics, tokenizer.
