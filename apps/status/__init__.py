"""What an operator or an orchestrator asks of a running Weir: health, readiness, configuration, metrics."""
