"""The language side of the learner: language models that are read, trained on, judged and made smaller.

    settings     how a language model learns, as one flat value
    checkpoints  which files a name or a path stands for, and what they are called
    model        one contract for the BERT family and the GPT family
    adapters     what of a model is trained: nothing, everything, LoRA, AdaLoRA, bottlenecks
    pairs        (history, item) examples out of timelines and texts
    objectives   what is minimised: contrast, words of the catalogue, clicks
    proximity    one adapter that evolves and stays near its predecessor
    update       the training loop; an adapter as bytes comes out
    encoding     a catalogue is encoded anew in the background, then the text changes at once
    cross        history [SEP] item -> p(interaction), and a reranker
    method       that reranker as a method of a backtest
    augmentation other wordings of a text
    compression  int8 and pruning for serving

Adapters are safetensors bytes named by their hash. The same examples, settings, seed, predecessor and kind of device
give the same bytes.
"""
