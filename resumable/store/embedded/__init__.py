"""The embedded store: a server of the user's own, started by who comes first and stopped by who goes last."""
