"""Staff, roles, guards and the audit trail."""
