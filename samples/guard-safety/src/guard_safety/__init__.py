"""The inline safety provider guard-safety."""
