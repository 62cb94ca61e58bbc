"""What the container image is made from, and what runs in it beside the system."""
