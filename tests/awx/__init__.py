"""What AWX needs of the project: its execution environment, its configuration as code, what a job hands to the next."""
