"""How much of a GPU does an increment of a language model use?

A LoRA increment of an encoder of BERT-base's shape and of a one-billion-parameter GPT of Llama 3.2's shape, with random
weights and random texts: speed does not ask what a weight is. The rate of useful operations (a forward pass, and the
backward pass through frozen weights; nothing that is computed twice counts) is compared with the rate at which the same
card multiplies large bf16 matrices. Without a GPU it says so and measures nothing; `--tiny` runs the same code on a CPU
with toy shapes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import report

if TYPE_CHECKING:
    import torch

    from models.language.model import LanguageModel
    from models.language.settings import LanguageSettings

SHARE = 0.40  # of the measured rate of bf16 products: the bar
SIDE = 8192  # of the square matrices that the rate is measured with
WARM, MEASURED = 6, 20  # steps


@dataclass(frozen=True)
class Load:
    """Say what is trained on what."""

    family: str
    shape: dict[str, int]
    objective: str
    tokens: int  # of a text
    batch: int  # texts of a step


LOADS = {
    "bert_base": Load(
        "bert",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
        "contrastive",
        tokens=128,
        batch=256,
    ),
    "gpt_1b": Load(
        "llama",
        {
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 8192,
        },
        "pretrain",
        tokens=64,  # as long as an item's text may be
        batch=128,  # 8,192 tokens: their logits over 128,256 words are 4 GB
    ),
}
TINY = {
    "bert_base": replace(
        LOADS["bert_base"],
        shape={"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        tokens=16,
        batch=4,
    ),
    "gpt_1b": replace(
        LOADS["gpt_1b"],
        shape={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 64,
        },
        tokens=16,
        batch=4,
    ),
}
WORDS = {"bert": 30_522, "llama": 128_256}


def random_model(load: Load, device: torch.device, words: int) -> LanguageModel:
    """Return a language model of a shape, with a tokenizer whose words are numbers."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    from models.language.model import LanguageModel

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[SEP]": 2} | {str(n): n for n in range(3, words)}
    written = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    written.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=written, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]"
    )
    kind, config = {
        "bert": (transformers.BertModel, transformers.BertConfig),
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig),
    }[load.family]
    with torch.device(device):
        whole = kind(config(vocab_size=words, max_position_embeddings=1024, **load.shape))
    return LanguageModel(tokenizer, whole.requires_grad_(False).eval(), f"random-{load.family}@0")


def texts(load: Load, many: int, words: int) -> list[str]:
    """Return random texts of about as many tokens as the load says."""
    import numpy as np

    random = np.random.default_rng(0)
    return [" ".join(map(str, random.integers(3, words, load.tokens))) for _ in range(many)]


def settings_of(load: Load, device: torch.device) -> LanguageSettings:
    """Return how the load is trained."""
    from models.language.settings import LanguageSettings

    return LanguageSettings(
        kind="lora",
        objective=load.objective,
        rank=8,
        batch=load.batch,
        history=1,
        most_tokens=load.tokens,
        precision="bf16",
        compile=device.type == "cuda",
    )


@dataclass
class Steps:
    """Hear of each step of an update, and note when it was over."""

    device: torch.device
    moments: list[float]

    def __call__(self, step: int, steps: int, loss: float) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.moments.append(time.perf_counter())


def seconds_a_step(load: Load, device: torch.device, words: int, steps: int) -> tuple[float, float]:
    """Return the median seconds of a warm step, and the useful operations of one."""
    import numpy as np

    from models.language.pairs import Pairs
    from models.language.update import update

    many = load.batch * steps
    written = texts(load, many, words)
    # Each history is another text than its item: twice as many texts are read as there are examples.
    examples = Pairs(tuple(np.array([i]) for i in np.roll(np.arange(many), 1)), np.arange(many))
    settings = settings_of(load, device)
    heard = Steps(device, [])
    model = random_model(load, device, words)
    update(model, written, examples, settings, device=device, heard=heard)
    spans = np.diff(heard.moments)[-min(MEASURED, steps - 2) :]
    return statistics.median(spans.tolist()), operations(load, words)


def operations(load: Load, words: int) -> float:
    """Return the operations of a step: two a weight and token forward, two backward (frozen weights need no gradient).

    Attention counts as it is computed, forward once and backward twice, a causal mask halving its pairs; LoRA's own
    products are left out, and so is the gradient of the frozen embeddings. The head for words costs as any weight.
    """
    e, layers, inner = load.shape["hidden_size"], load.shape["num_hidden_layers"], load.shape["intermediate_size"]
    heads, llama = load.shape["num_attention_heads"], load.family == "llama"
    first = e * e * (1 + 2 * load.shape.get("num_key_value_heads", heads) / heads)  # query, key and value of a block
    weights = layers * (first + e * e + e * inner * (3 if llama else 2))
    total = 0.0
    for tokens in lengths(load):
        pairs = tokens * tokens * (0.5 if llama else 1.0)
        total += load.batch * ((4 * weights - 2 * first) * tokens + layers * 3 * 4 * pairs * e)
        total += 4 * load.batch * tokens * e * words if load.objective == "pretrain" else 0.0
    return total


def lengths(load: Load) -> tuple[int, ...]:
    """Return the tokens of what is read for one example: an item alone, or a history and an item."""
    from models.text import MOST_TOKENS

    item = min(load.tokens, MOST_TOKENS)
    return (load.tokens, item) if load.objective == "contrastive" else (item,)


def matmul_rate(device: torch.device, side: int, rounds: int = 20) -> float:
    """Return the operations a second at which the device multiplies square bf16 matrices: the median of rounds."""
    import torch

    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds[rounds // 4 :])


def measure(
    loads: dict[str, Load], device: torch.device, words: dict[str, int], side: int, steps: int
) -> dict[str, Any]:
    """Return the figures."""
    rate = matmul_rate(device, side)
    figures: dict[str, Any] = {"matmul_tflops": round(rate / 1e12, 3)}
    for name, load in loads.items():
        seconds, useful = seconds_a_step(load, device, words[load.family], steps)
        figures[f"{name}_texts_per_second"] = round(load.batch / seconds, 1)
        figures[f"{name}_tflops"] = round(useful / seconds / 1e12, 4)
        figures[f"{name}_share_of_matmul"] = round(useful / seconds / rate, 4)
    return figures


def main() -> None:
    """Measure the card, or say why nothing is measured."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="toy shapes on the CPU: whether it runs, not how fast")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if parser.parse_args().tiny:
        report("gpu", measure(TINY, torch.device("cpu"), {"bert": 99, "llama": 99}, 256, steps=6))
    elif device.type == "cpu":
        report("gpu", {"skipped": "no GPU: torch finds no CUDA device here; `--tiny` tries the code on a CPU"})
    else:
        found = measure(LOADS, device, WORDS, SIDE, WARM + MEASURED)
        bars = {f"{name}_share_of_matmul": f">= {SHARE}" for name in LOADS}
        report("gpu", found | {"card": torch.cuda.get_device_name()}, bars)


if __name__ == "__main__":
    sys.exit(main())
