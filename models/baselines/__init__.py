"""The simple answers that a model has to beat, each behind the contract of models/backtest.

baseline       what all of them share: live popularity, and scores some queries at a time
live           decayed counts at any moment of a window
matrices       who took what, as a sparse matrix
popularity     what everybody takes, lately or ever
own            what this user takes again: most often, or last
covisitation   what follows or accompanies what
neighbours     item-kNN: items that the same users took
ease           a linear autoencoder, in closed form
factors        iALS: matrix factorisation of implicit feedback
sessions       V-SKNN: sessions like this one
baskets        TIFU-KNN: decayed baskets, own and of users like this one
sasrec         a transformer over item ids: attention is its network, stretches are what it reads
ader           the same, with distilled exemplars

All of them are deterministic, and none of them reads text: a new item has live popularity and nothing else.
"""
