"""A little world whose texts have a known probability: the grammar behind `--data microworld`, one facet a file.

docs/microworld.md shows the facets and says what the floor means.
"""
