"""What AWX needs of the project: its execution environment, and its configuration as code."""
