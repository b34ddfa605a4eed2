"""The adapter against a scorer that goes token by token, and against lm-eval's own `hf` model."""

from __future__ import annotations

import math
import warnings
from typing import Any, cast

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.data.bpe_tokenizer import train_bpe
from harness.data.documents import Corpus
from harness.data.tokenizer import ByteTokenizer
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.transformer import Transformer
from harness.score.lmeval.adapter import HarnessLM
from harness.score.lmeval.hf_tokenizer import HuggingFaceTokenizer
from harness.spec.presets import preset
from harness.spec.spec import Spec

PAIRS = [
    ("", " The cat sat."),
    ("The cat sat on", " a mat."),
    ("Trailing space ", "moves"),
    ("話說", "孫悟空"),
    ("x" * 40, "yes"),  # cut from the left
    ("abc", "z" * 50),  # longer than the model by itself
]


def requests(kind: Any, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=args, idx=i) for i, args in enumerate(arguments)]


def by_hand(model: Transformer, tokens: list[int], first: int) -> tuple[float, bool]:
    """One forward a token: log P(tokens[first:] | tokens[:first]) and whether greedy decoding would say it."""
    total, greedy = 0.0, True
    for i in range(first, len(tokens)):
        logits = model(torch.tensor([tokens[max(0, i - model.spec.seq_len) : i]]))[0, -1]
        total += logits.log_softmax(-1)[tokens[i]].item()
        greedy &= int(logits.argmax()) == tokens[i]
    return total, greedy


@pytest.fixture
def short() -> Transformer:
    return Transformer(Spec(n_layers=1, d_model=16, n_heads=2, seq_len=32), seed=0).eval()


@torch.no_grad()
def test_likelihoods_are_those_written_out_token_by_token(short: Transformer) -> None:
    lm = HarnessLM(short, ByteTokenizer())
    scored = lm.loglikelihood(requests("loglikelihood", PAIRS))
    for (context, continuation), (value, greedy) in zip(PAIRS[:4], scored, strict=False):
        before = list(context.rstrip().encode()) or [256]
        tokens = [*before, *(context + continuation).encode()[0 if before == [256] else len(before) :]]
        expected, likeliest = by_hand(short, tokens, len(before))
        assert value == pytest.approx(expected, abs=1e-4)
        assert greedy == likeliest
    assert lm.truncated == {PAIRS[4]}
    assert lm.split == {PAIRS[5]}


@torch.no_grad()
def test_a_long_context_is_cut_from_the_left(short: Transformer) -> None:
    lm = HarnessLM(short, ByteTokenizer())
    text = "The quick brown fox jumps over the lazy dog and runs"
    (value, _), (cut, _) = lm.loglikelihood(requests("loglikelihood", [(text, " far"), (text[-29:], " far")]))
    assert value == pytest.approx(cut, abs=1e-5)  # 33 tokens: 32 inputs and the last target


@torch.no_grad()
def test_a_long_continuation_is_scored_whole(short: Transformer) -> None:
    """Pieces of 16, each after all that precedes it and fits."""
    lm = HarnessLM(short, ByteTokenizer())
    ((value, _),) = lm.loglikelihood(requests("loglikelihood", [("abc", "z" * 50)]))
    tokens = [*b"abc", *b"z" * 50]
    expected = 0.0
    for start in range(3, 53, 16):
        end = min(start + 16, 53)
        inputs = tokens[max(0, end - 33) : end - 1]
        logp = short(torch.tensor([inputs]))[0].log_softmax(-1)
        expected += sum(logp[len(inputs) - (end - i), tokens[i]].item() for i in range(start, end))
    assert value == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_rolling_likelihood_covers_each_token_once(short: Transformer) -> None:
    lm = HarnessLM(short, ByteTokenizer())
    texts = ["The cat sat on a mat. " * 4, "short", "", "x" * 32, "y" * 33]
    values = lm.loglikelihood_rolling(requests("loglikelihood_rolling", [(text,) for text in texts]))
    for text, value in zip(texts, values, strict=True):
        tokens = [256, *text.encode()]
        expected, done = 0.0, 1
        while done < len(tokens):  # windows of 32 targets; the last reaches back, so that it sees 32 tokens too
            end = min(done + 32, len(tokens))
            inputs = tokens[max(0, end - 33) : end - 1]
            logp = short(torch.tensor([inputs]))[0].log_softmax(-1)
            expected += sum(logp[len(inputs) - (end - i), tokens[i]].item() for i in range(done, end))
            done = end
        assert value == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_generation_is_greedy_decoding_without_a_cache(short: Transformer) -> None:
    lm, coder = HarnessLM(short, ByteTokenizer()), ByteTokenizer()
    prompts = ["The cat", "話", "", "a much longer prompt than fits the model's context of 32"]
    kwargs = {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False}
    written = lm.generate_until(requests("generate_until", [(p, dict(kwargs)) for p in prompts]))
    for prompt, text in zip(prompts, written, strict=True):
        tokens = (list(prompt.encode()) or [256])[-20:]
        new: list[int] = []
        for _ in range(12):
            token = int(short(torch.tensor([tokens + new]))[0, -1].argmax())
            if token == 256:
                break
            new.append(token)
        assert text == coder.decode(torch.tensor(new, dtype=torch.int64).numpy()).split("\n\n")[0]
    assert lm.truncated == {(prompts[3],)}


def test_generation_stops_at_a_stop_string_and_keeps_room_for_the_context(short: Transformer) -> None:
    lm = HarnessLM(short, ByteTokenizer())
    (free,) = lm.generate_until(requests("generate_until", [("The", {"until": [], "max_gen_toks": 10})]))
    stop = free[2:4]
    (cut,) = lm.generate_until(requests("generate_until", [("The", {"until": stop, "max_gen_toks": 10})]))
    assert cut == free.split(stop)[0]
    lm.generate_until(requests("generate_until", [("The", {})]))  # lm-eval's 256 tokens are more than the model has
    assert lm.shortened == {"The"}


def test_nothing_to_score_is_no_certainty(short: Transformer) -> None:
    """A tokenizer may merge a continuation into its context; log P = 0 would be the best of all answers."""
    ((value, greedy),) = HarnessLM(short, ByteTokenizer())._loglikelihood_tokens([(("a", ""), [97], [])])
    assert math.isnan(value)
    assert not greedy


@pytest.mark.parametrize("bos", [False, True])
def test_parity_with_the_hf_model_of_lm_eval(bos: bool, corpus: Corpus, tmp_path: Any) -> None:
    """The same Llama-form weights through transformers and lm-eval's `hf`: every item within 1e-4."""
    transformers: Any = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="lm-eval's hf model needs accelerate")
    from lm_eval.models import huggingface
    from tokenizers import AddedToken, Tokenizer, processors

    fast = Tokenizer.from_str(train_bpe(300, corpus.train, tmp_path)._model)
    fast.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    begin, end = cast("int", fast.token_to_id("<s>")), cast("int", fast.token_to_id("</s>"))
    if bos:
        fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    spec = preset("llama").replace(n_layers=2, d_model=32, n_heads=2, seq_len=48, vocab_size=end + 1)
    model = Transformer(spec, seed=0).eval()
    save_huggingface(model, tmp_path / "llama")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama", dtype=torch.float32)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>")
    arguments = [pair for pair in PAIRS if pair[1] != PAIRS[5][1]]  # hf fails on what is longer than the model
    arguments += [("The cat sat on a mat and then it ran off with my hat " * 3, " while"), ("<s>The cat", " sat")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hf = cast("Any", huggingface.HFLM)(
            pretrained=theirs, tokenizer=wrapped, batch_size=2, device="cpu", max_length=48
        )
        expected = hf.loglikelihood(requests("loglikelihood", arguments), disable_tqdm=True)
        texts = [("The cat sat on a mat. " * 20,), ("七十二般變化",)]
        rolling = hf.loglikelihood_rolling(requests("loglikelihood_rolling", texts), disable_tqdm=True)
    lm = HarnessLM(model, HuggingFaceTokenizer("llama", fast.to_str(), end, begin))
    for ours, other in zip(lm.loglikelihood(requests("loglikelihood", arguments)), expected, strict=True):
        assert ours[0] == pytest.approx(other[0], abs=1e-4)
        assert ours[1] == other[1]
    ours = lm.loglikelihood_rolling(requests("loglikelihood_rolling", texts))
    assert ours == pytest.approx(rolling, rel=1e-6, abs=1e-3)
