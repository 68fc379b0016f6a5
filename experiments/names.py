"""The words that flags accept, as literals, so that --help needs no JAX. A test holds them equal to the registries."""

CELLS = ("elman", "lstm", "gru", "gru_before")
TASKS = ("adding", "copy", "digits", "text")
VARIANTS = {
    "adding": ("urnn", "tcn", "hs97", "pascanu", "plrnn"),
    "copy": ("urnn", "tcn", "exprnn", "s4", "variable"),
    "digits": ("plain", "permuted"),
    "text": ("characters", "bytes"),
}
METHODS = ("auto", "sequential")
OPTIMIZERS = ("adam", "adamw", "nadam", "rmsprop", "sgd")
