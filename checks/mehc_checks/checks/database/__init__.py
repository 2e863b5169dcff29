"""DatabaseMigrated."""
