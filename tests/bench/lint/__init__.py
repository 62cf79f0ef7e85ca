"""The lint benchmark: cases tried on a real PostgreSQL (cases, databases, truth), what each tool says of them
(projects, verdicts), and how often it is right (page)."""
