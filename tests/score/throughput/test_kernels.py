"""The kernel mode names what ran."""

from __future__ import annotations

import torch

from harness.score.throughput.kernels import KernelMode, attention_backend, norm_mode, operators
from harness.spec.spec import Choice, Spec

CPU = torch.device("cpu")


def test_norms_say_whether_they_are_one_kernel() -> None:
    assert norm_mode(Spec(), CPU, torch.float32) == "fused (native_layer_norm)"
    assert norm_mode(Spec(norm=Choice("none")), CPU, torch.float32) == "none"
    assert norm_mode(Spec(norm=Choice("crms")), CPU, torch.float32).startswith("unfused (")


def test_operators_are_seen_without_views() -> None:
    x = torch.ones(2, 3)
    assert operators(lambda: x.t().unsqueeze(0) @ x + 1)[-1] == "add"
    assert "t" not in operators(lambda: x.t())


def test_sdpa_backends_are_named() -> None:
    q = torch.ones(1, 1, 4, 8)
    names = operators(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True))
    assert attention_backend(names) == "flash"
    assert attention_backend(["_scaled_dot_product_efficient_attention", "mm"]) == "efficient"
    assert attention_backend(["_scaled_dot_product_cudnn_attention_backward"]) == "math"
    assert attention_backend(["bmm", "softmax"]) == "math"


def test_the_mode_is_one_line() -> None:
    mode = KernelMode(False, "flash", "math", "fused (native_layer_norm)")
    assert mode.text == "eager; SDPA flash, decoding math; norm fused (native_layer_norm)"
    compiled = KernelMode(True, "flash", "flash", "none")
    assert compiled.text == "compiled (decoding eager); SDPA flash; norm none, before it is compiled"
