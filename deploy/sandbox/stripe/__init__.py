"""Stripe's v1 REST API as far as usage billing and giving money back need it."""
