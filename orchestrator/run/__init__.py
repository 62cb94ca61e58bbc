"""One group after another: load, decide, append, commit; then publish."""
