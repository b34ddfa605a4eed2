"""To and from Hugging Face checkpoints: one file a family, each saying its config and its tensors both ways.

Writing and reading need JSON and safetensors only; transformers itself is never imported.
"""
