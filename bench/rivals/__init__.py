"""What others would take instead."""
