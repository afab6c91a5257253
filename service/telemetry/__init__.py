"""What an operator can see: metrics, stage timings, logs."""
