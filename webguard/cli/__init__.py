"""The `webguard` command: one module a family."""
