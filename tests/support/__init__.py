"""What the failure stories and the runner tests share."""
