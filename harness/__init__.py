"""How variants are compared: one stage a folder, frozen dataclasses between them."""
