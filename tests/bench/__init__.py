"""The benchmark of the gate: what others would have decided on the same traffic."""
