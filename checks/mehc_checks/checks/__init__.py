"""One room per check: its judgement, its reasons, what it gathers."""
