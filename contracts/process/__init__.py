"""What every process of the system shares: settings, logs, health, confirmed publishing, the database.

Neither side may import the other, so what both need of the machine around them lives beside the contracts.
"""
