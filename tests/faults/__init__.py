"""Every fault that a backup or a migration has to survive, caused for real; the table of them, and what finds damage in
a backup."""
