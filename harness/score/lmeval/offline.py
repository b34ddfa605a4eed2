"""lm-eval's own tasks on local files: blimp, lambada_openai, piqa, arc_easy and wikitext without a network.

Prompt, delimiter, choices and metrics are those of the YAML files in lm_eval/tasks (tested against them); only where
the documents come from differs. The files are public, lie under HARNESS_DATA and are known by their SHA-256.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from harness.data.known_file import KnownFile

Documents = list[dict[str, Any]]

BLIMP_FILE = KnownFile(
    path="eval/blimp.zip",
    sha256="172a1a714d72e72a89e8384dd531483f3d0f8a9aee3d33dccaf7992d8cecbb73",
    size=2_354_164,
)
LAMBADA_FILE = KnownFile(
    path="eval/lambada_openai_test.jsonl",
    sha256="4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
    size=1_819_752,
)
PIQA_FILE = KnownFile(
    path="eval/piqa_valid.jsonl",
    sha256="61533005e22f175534909b1ec8eacb6da03c233933558d1bafb15787453b1f55",
    size=517_689,
)
ARC_EASY_FILE = KnownFile(
    path="eval/arc_easy_test.jsonl",
    sha256="6ce8fb7b4baa1a5d6f2f1b92a3055787cf04759819c3f03195cda787822f7f12",
    size=795_357,
)
WIKITEXT_FILE = KnownFile(
    path="eval/wikitext2_raw_test_pages.jsonl",
    sha256="85f09ca4c886eb81390d60d2318c4e9dab62e290c0e05425c97ce7790be559de",
    size=1_297_978,
)

ACC = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
ACC_NORM = {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}

LAMBADA = {
    "task": "lambada_openai",
    "output_type": "loglikelihood",
    "test_split": "test",
    "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
    "doc_to_target": "{{' '+text.split(' ')[-1]}}",
    "metric_list": [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}, ACC],
    "metadata": {"version": 1.0},
}
PIQA = {
    "task": "piqa",
    "output_type": "multiple_choice",
    "validation_split": "validation",
    "doc_to_text": "Question: {{goal}}\nAnswer:",
    "doc_to_target": "label",
    "doc_to_choice": "{{[sol1, sol2]}}",
    "metric_list": [ACC, ACC_NORM],
    "metadata": {"version": 1.0},
}
ARC_EASY = {
    "task": "arc_easy",
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{choices.label.index(answerKey)}}",
    "doc_to_choice": "{{choices.text}}",
    "metric_list": [ACC, ACC_NORM],
    "metadata": {"version": 1.0},
}
BLIMP_PARADIGM = {
    "output_type": "multiple_choice",
    "validation_split": "train",
    "doc_to_text": "",
    "doc_to_target": 0,
    "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
    "num_fewshot": 0,
    "metric_list": [ACC],
    "metadata": {"version": 1.0},
}
WIKITEXT = {
    "task": "wikitext",
    "output_type": "loglikelihood_rolling",
    "test_split": "test",
    "doc_to_text": "",
    "metric_list": [
        {"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
        {"metric": "byte_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
        {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False},
    ],
    "metadata": {"version": 2.0},
}

FILES = {"lambada_openai": LAMBADA_FILE, "piqa": PIQA_FILE, "arc_easy": ARC_EASY_FILE, "wikitext": WIKITEXT_FILE}
BLIMP = "blimp"
NAMES = (BLIMP, *FILES)
"""What a user may name, beside the paradigms of BLiMP: `blimp_wh_island`."""


def file_of(name: str) -> KnownFile | None:
    """The file a task needs; None for a task that is not defined here."""
    return BLIMP_FILE if name == BLIMP or name.startswith(f"{BLIMP}_") else FILES.get(name)


def definitions(name: str) -> list[dict[str, Any]]:
    """lm-eval configurations of the tasks that `name` stands for; none for a paradigm that BLiMP does not have.

    Raises:
        UserError: the file is not under HARNESS_DATA.
    """
    file = file_of(name)
    assert file is not None, name
    path = file.find()
    if file is BLIMP_FILE:
        return [
            {"task": f"{BLIMP}_{paradigm}", **BLIMP_PARADIGM, **_documents("train", _paradigm(path, paradigm))}
            for paradigm in paradigms(path)
            if name in (BLIMP, f"{BLIMP}_{paradigm}")
        ]
    rows = _lines(path.read_text(encoding="utf-8"))
    if name == "wikitext":
        from lm_eval.tasks.wikitext import preprocess_wikitext as own

        functions = {"doc_to_target": own.wikitext_detokenizer, "process_results": own.process_results}
        return [{**WIKITEXT, **functions, **_documents("test", rows)}]
    config = {"lambada_openai": LAMBADA, "piqa": PIQA, "arc_easy": ARC_EASY}[name]
    split = config.get("test_split") or config["validation_split"]
    return [{**config, **_documents(str(split), rows)}]


def _documents(split: str, rows: Documents) -> dict[str, Any]:
    """The part of a configuration that says where documents come from: here, from memory."""
    return {"custom_dataset": documents_source(split, rows)}


def documents_source(split: str, rows: Documents) -> Callable[..., Any]:
    """What lm-eval calls to have a data set; it passes the task's metadata, which says nothing here.

    A function and not a path, because the datasets library copies what it loads into a cache in the home folder.
    """

    def load(**metadata: Any) -> dict[str, Any]:
        from datasets import Dataset

        return {split: Dataset.from_list(rows)}

    return load


def paradigms(path: Path) -> list[str]:
    """The names of the 67 paradigms."""
    with zipfile.ZipFile(path) as archive:
        files = [Path(name) for name in archive.namelist()]
    return sorted(file.stem for file in files if file.suffix == ".jsonl" and not file.name.startswith("."))


@cache
def _paradigm(path: Path, paradigm: str) -> Documents:
    with zipfile.ZipFile(path) as archive:
        return _lines(archive.read(f"data/{paradigm}.jsonl").decode())


def _lines(text: str) -> Documents:
    return [json.loads(line) for line in text.splitlines() if line]
