"""Tug's training package: pairs, networks, training, export and evaluation of a bundle."""
