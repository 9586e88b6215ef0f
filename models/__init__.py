"""The recommender: arrays and bytes in, arrays and bytes out.

Nothing here knows of a database, a queue or a file, apart from the language model's own weights: a model that can be
trained in a test is a model that can be trained in a worker. The modules, in the order in which data flows:

    timelines    what one user did, and the catalogue that it points into
    text         frozen language-model embeddings of the items
    whitening    the same embeddings, made round
    popularity   decayed counts of all items
    repeat       what one user did before with one item
    covisitation what is taken after what
    batches      timelines as the tensors of one step
    encoder      the causal tower that reads a timeline
    recommender  the score: tower, popularity, repetition and what follows in one sum
    losses       softmax over the catalogue, whole or sampled
    training     one increment
    evaluation   the rank of everything that happened, by any scorer
    checkpoint   a model as bytes, named by their hash
    export       what serving needs
"""
