"""Scores from the Language Model Evaluation Harness (Gao et al., doi:10.5281/zenodo.10256836), for any arm.

`run.evaluate` is the way in. lm_eval is slow to import, so only `adapter.py` imports it at the top.
"""
