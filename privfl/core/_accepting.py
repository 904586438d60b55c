"""Conditions that a user may accept knowingly, with the sentence every report quotes."""

CONDITIONS = {
    "exact_sum_to_server": "The server sees the exact sum; only what it publishes is noised.",
    "local_and_central_noise": "Local and central noise are both added, and both are counted.",
    "uniform_weights": "Example counts are known and knowingly not used as weights.",
}
