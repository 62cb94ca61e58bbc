"""The main job, shown: three tenants, a dozen requests, and everything that may go wrong on the way."""
