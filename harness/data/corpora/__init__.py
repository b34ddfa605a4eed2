"""The corpora with a name: `journey_to_the_west.py` is `--data journey-to-the-west`. Each file has one `load()`."""
