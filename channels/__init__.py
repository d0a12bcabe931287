"""The ways out: one contract, and one small module for each provider. Knows nothing of notifications."""
