"""The rules of the contract for a bundle, and the report of what they found."""
