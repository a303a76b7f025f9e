"""Blocks on pilot jobs: workers that come and go, and a scheduler that stays."""
