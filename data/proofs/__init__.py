"""Statements to prove, with answers of known worth."""
