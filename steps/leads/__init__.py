"""How leads are asked for, read, priced and kept as drafts."""
