"""Stand-ins for Anthropic, Stripe and Discord over real HTTP: stateful, repeatable, breakable on demand."""
