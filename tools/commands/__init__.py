"""The command groups of `bitenergy`, one module each, imported only when they are used."""
