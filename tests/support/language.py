"""Tiny language models with random weights, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

TEXTS = (
    "fluid milk", "soft cheese", "cream", "bread rolls", "red wine", "beer", "olive oil", "power drill", "hammer nails",
    "soft bread", "milk cream", "red hammer",
)  # fmt: skip
WORDS = tuple({word: None for text in TEXTS for word in text.split()})
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZE = len(SPECIAL) + len(WORDS)
SMALL = {"vocab_size": SIZE, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
GPT2 = {"vocab_size": SIZE, "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64, "bos_token_id": 1}
BERT = SMALL | {"intermediate_size": 32, "max_position_embeddings": 64}
FAMILIES = ("bert", "bert-with-head", "gpt2", "llama")


def checkpoint(folder: Path, family: str = "bert") -> Path:
    """Save a model of a family with its tokenizer; return the folder."""
    torch.manual_seed(3)
    tokenizer(family).save_pretrained(folder)
    model(family).save_pretrained(folder)
    return folder


def model(family: str) -> transformers.PreTrainedModel:
    if family == "bert":
        return transformers.BertModel(transformers.BertConfig(**BERT))
    if family == "bert-with-head":
        return transformers.BertForMaskedLM(transformers.BertConfig(**BERT))
    if family.startswith("gpt2"):
        dropped = 0.0 if family == "gpt2-still" else 0.1
        dropout = {"attn_pdrop": dropped, "embd_pdrop": dropped, "resid_pdrop": dropped}
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, **dropout, eos_token_id=3))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**BERT, num_key_value_heads=1, eos_token_id=3))


def tokenizer(family: str) -> transformers.PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate((*SPECIAL, *WORDS))}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if not family.startswith("bert"):
        return transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[SEP]")
    around = [("[CLS]", 2), ("[SEP]", 3)]
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", **names)
