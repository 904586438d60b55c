"""Error feedback as Karimireddy et al. 2019 write it (algorithm 2), one client, plain lists.

https://arxiv.org/abs/1901.09847. The learning rate is in the update already. A step that was not
counted sends nothing, so that its error is all of it.
"""


def top_k(p, k):
    """Keep the ``k`` entries of largest absolute value."""
    kept = set(sorted(range(len(p)), key=lambda j: -abs(p[j]))[:k])
    return [value if j in kept else 0 for j, value in enumerate(p)]


def error_feedback(updates, counted, k):
    """What is sent in each step, and the error behind the last: -> (sent, error)."""
    error, sent = [0] * len(updates[0]), []
    for update, reached in zip(updates, counted, strict=True):
        p = [u + e for u, e in zip(update, error, strict=True)]
        sent.append(top_k(p, k))
        error = [a - b for a, b in zip(p, sent[-1], strict=True)] if reached else p
    return sent, error
