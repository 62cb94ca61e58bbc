"""Background work of steps: which tenants have some that is due, and visiting them side by side."""
