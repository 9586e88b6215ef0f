"""The ranking head: what a user does with an item at a moment, as probabilities.

The recommender ranks a catalogue; the head looks closer at what is near the top, and says how probable a view, a click,
a cart, a purchase is. The modules, in the order in which data flows:

    settings      how a head is made and learns
    features      what is read of a user with an item at a moment
    examples      what was taken, and what was drawn to compare it with
    head          the features' weights, task by task
    calibration   a map after which probabilities are frequencies
    learning      one increment of the head
    checkpoint    a head as bytes
    export        a head as JSON, and each feature's share in an answer
    reranking     the recommender's best items in the head's order
    method        a recommender with a head in a backtest
"""
