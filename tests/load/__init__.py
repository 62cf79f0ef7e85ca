"""An open-model load for a shop that is being rolled out: requests leave on schedule, whatever comes back."""
