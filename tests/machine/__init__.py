"""The README's first commands on a machine where nothing was ever installed."""
