"""Parts of Gradual against the real services they talk to, started here and thrown away."""
