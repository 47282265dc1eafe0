"""`peek` as people use it on their first day: its own commands, real terminals, real clients."""
