"""An exported Llama-form checkpoint through lm-eval's evaluator: its own `hf` model and our adapter, item by item."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from harness.data.bpe_tokenizer import train_bpe
from harness.data.documents import Corpus
from harness.evaluate import open_folder
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.huggingface.tokenizer import save_tokenizer
from harness.model.transformer import Transformer
from harness.score.lmeval.adapter import HarnessLM
from harness.score.lmeval.quiet import quietly
from harness.score.lmeval.tasks import load_tasks
from harness.spec.presets import preset

LIMIT = 3
LENGTH = 256
"""Tokens; `hf` fails on an answer that is longer than the model, where ours scores it in pieces."""

GENERATE = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}, cache_dir: {cache}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_target: "a mat"
generation_kwargs: {{until: ["\\n", "zz"], do_sample: false, max_gen_toks: 12}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def folder(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as `harness.export` writes it."""
    made = tmp_path_factory.mktemp("llama")
    tokenizer = train_bpe(300, corpus.train, made)
    spec = preset("llama").replace(n_layers=2, d_model=32, n_heads=2, seq_len=LENGTH, vocab_size=tokenizer.vocab_size)
    save_huggingface(Transformer(spec, seed=0), made, tokenizer.end_of_text)
    save_tokenizer(tokenizer.to_json(), tokenizer.end_of_text, LENGTH, made)
    return made


def theirs(folder: Path) -> Any:
    """lm-eval's `hf` on the folder."""
    transformers: Any = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="lm-eval's hf model needs accelerate")
    from lm_eval.models import huggingface

    net = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    coder = transformers.AutoTokenizer.from_pretrained(folder)
    return cast("Any", huggingface.HFLM)(pretrained=net, tokenizer=coder, batch_size=4, device="cpu")


def answers(lm: Any, names: list[str], tokenizer: Any) -> dict[str, list[Any]]:
    """What the model answered to every request of every item, by task."""
    from lm_eval.evaluator import evaluate

    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = evaluate(lm, load_tasks(names, None, tokenizer), limit=LIMIT, bootstrap_iters=0, log_samples=True)
    return {
        task: [answer for s in samples for r in s["resps"] for answer in r]
        for task, samples in found["samples"].items()
    }


def test_every_item_of_every_kind_of_task(folder: Path, blimp: str, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"q": q}) + "\n" for q in ("The cat sat", "Seven old horses " * 60, "話"))
    (tmp_path / "rows.jsonl").write_text(rows)
    task = tmp_path / "written.yaml"
    task.write_text(GENERATE.format(rows=tmp_path / "rows.jsonl", cache=tmp_path / "cache"))
    names = [*blimp.split(","), "arc_easy", "piqa", "lambada_openai", "wikitext", str(task)]
    model, tokenizer, _ = open_folder(folder, "cpu")
    ours, hf = answers(HarnessLM(model, tokenizer), names, tokenizer), answers(theirs(folder), names, tokenizer)
    assert ours.keys() == hf.keys()
    assert len(ours) == len(names)
    for name, mine in ours.items():
        for answer, other in zip(mine, hf[name], strict=True):
            if name == "written":
                assert answer == other
            elif name == "wikitext":  # a sum over thousands of tokens, which theirs adds up in fp32
                assert answer == pytest.approx(other, rel=1e-6)
            else:
                assert answer[0] == pytest.approx(other[0], abs=1e-4), name
                assert answer[1] == other[1]
    assert len({answer[0] for answer in ours["arc_easy"]}) == 4 * LIMIT, "items that differ"
    assert all(ours["written"]), "something was written"
