"""What travels between the orchestrator, the steps and upstream services, and how it is named."""
