"""Our offline tasks render exactly as lm-eval's own YAML; other names and broken files get one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness.data.dataset import TokenizedData
from harness.data.tokenizer import ByteTokenizer
from harness.score.lmeval import offline, stock
from harness.score.lmeval.quiet import quietly
from harness.score.lmeval.tasks import load_tasks
from variants.errors import UserError

YAML = Path(lm_eval.tasks.__file__).parent
FILES = {
    "blimp_wh_island": "blimp/wh_island.yaml",
    "blimp_principle_A_c_command": "blimp/principle_A_c_command.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "piqa": "piqa/piqa.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "wikitext": "wikitext/wikitext.yaml",
}
SOURCE = ("dataset_path", "dataset_name", "dataset_kwargs", "training_split", "tag", "test_split", "validation_split")
UNUSED = ("should_decontaminate", "doc_to_decontamination_query")  # lm-eval reads them and does nothing with them


def load(*names: str, data: TokenizedData | None = None) -> dict[str, Any]:
    with quietly():
        return load_tasks(names, data, ByteTokenizer())


@pytest.mark.parametrize("name", FILES)
def test_definitions_are_those_of_lm_eval(name: str, blimp: str) -> None:
    theirs = load_yaml(YAML / FILES[name], resolve_func=True)
    (ours,) = offline.definitions(name)
    split = "test_split" if "test_split" in ours else "validation_split"
    with quietly():
        loaded = TaskManager(include_defaults=False).load(
            [
                {k: v for k, v in theirs.items() if k not in SOURCE}
                | {split: ours[split], "custom_dataset": ours["custom_dataset"]}
            ]
        )
    mine, (other,) = load(name)["tasks"][name], loaded["tasks"].values()
    assert len(mine.eval_docs) == len(other.eval_docs)
    for i in (0, 1, len(mine.eval_docs) - 1):
        doc = mine.eval_docs[i]
        assert _requests(mine, doc) == _requests(other, doc)
        assert mine.doc_to_target(doc) == other.doc_to_target(doc)
    compared = {*ours, *theirs} - {*SOURCE, *UNUSED, "custom_dataset", "metric_list"}
    assert {k for k in compared if ours.get(k) != theirs.get(k) and not callable(ours.get(k))} == set()
    assert mine.aggregation() == other.aggregation()
    assert mine.higher_is_better() == other.higher_is_better()


def _requests(task: Any, doc: dict[str, Any]) -> list[Any]:
    context = task.fewshot_context(doc, 0)
    made = task.construct_requests(doc, context, metadata=(task.task_name, 0, 1))
    return [request.args for request in (made if isinstance(made, list) else [made])]


def test_blimp_has_its_paradigms_and_their_mean(blimp: str) -> None:
    theirs = load_yaml(YAML / "blimp" / "_blimp.yaml", resolve_func=False)
    loaded = load("blimp")
    assert sorted(loaded["tasks"]) == sorted(theirs["task"])
    assert len(loaded["tasks"]) == 67
    (mean,) = loaded["groups"]["blimp"].aggregate_metric_list
    (wanted,) = theirs["aggregate_metric_list"]
    assert (mean.metric, mean.aggregation, mean.weight_by_size) == tuple(wanted.values())
    assert {len(task.eval_docs) for task in loaded["tasks"].values()} == {1000}


def test_a_name_that_is_no_task_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Index:
        task_index = all_tasks = ("hellaswag",)

        def load(self, names: list[str]) -> None:
            raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(stock, "_manager", Index)
    with pytest.raises(UserError, match=r"unknown task 'arc_esay'; did you mean 'arc_easy'\?"):
        load("arc_esay")
    with pytest.raises(UserError, match=r"'hellaswag' downloads its data .* cannot be reached"):
        load("hellaswag")
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    with pytest.raises(UserError, match="unknown task 'blimp_wh_iland'"):
        load("blimp_wh_iland")


def test_the_cloze_needs_a_corpus() -> None:
    with pytest.raises(UserError, match="made from the validation split"):
        load("cloze")


TASK = """
task: mine
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}}}
  cache_dir: {cache}
output_type: multiple_choice
test_split: test
doc_to_text: "{text}"
doc_to_target: 0
doc_to_choice: ["yes", "no"]
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def task_file(folder: Path, text: str, rows: str) -> str:
    (folder / "rows.jsonl").write_text(rows)
    path = folder / "mine.yaml"
    path.write_text(TASK.format(file=folder / "rows.jsonl", cache=folder / "cache", text=text))
    return str(path)


def test_a_task_file_is_loaded(tmp_path: Path) -> None:
    loaded = load(task_file(tmp_path, "{{q}}?", '{"q": "a"}\n{"q": "b"}\n'))
    assert len(loaded["tasks"]["mine"].eval_docs) == 2


@pytest.mark.parametrize(
    ("text", "rows"),
    [("{{q", '{"q": "a"}\n'), ("{{q.x.y}}", '{"q": "a"}\n'), ("{{q}}", "not json"), ("{{q}}", "")],
)
def test_a_broken_task_file_is_one_sentence(text: str, rows: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a working lm-eval task"):
        load(task_file(tmp_path, text, rows))


def test_other_broken_files(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("task: [unclosed")
    for name, match in ((tmp_path / "bad.yaml", "not a working"), (tmp_path / "none.yaml", "there is no file")):
        with pytest.raises(UserError, match=match):
            load(str(name))
