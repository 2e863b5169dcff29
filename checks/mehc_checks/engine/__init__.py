"""How checks are declared, run and correlated."""
