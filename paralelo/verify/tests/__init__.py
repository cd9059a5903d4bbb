"""Tests of the comparison, from pure values up to both servers."""
