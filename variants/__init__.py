"""What is compared: one folder a slot, one file a variant. Torch only; never imports harness."""
