"""What measures Gantcha; not part of a release."""
