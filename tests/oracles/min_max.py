"""The Min-Max search of Shejwalkar and Houmansadr 2021, by bisection."""


def largest_gamma(rows, step):
    """The largest step along ``step`` from the mean of the rows that stays within their diameter.

    The upper bracket doubles until it is too far, so that nothing caps it.
    """
    mean = rows.mean(dim=0)
    diameter = max(float((a - b).norm()) for a in rows for b in rows)

    def hidden(gamma):
        return all(float((mean + gamma * step - row).norm()) <= diameter for row in rows)

    low, high = 0.0, 1.0
    while hidden(high):
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if hidden(middle) else (low, middle)
    return low
