"""The exact profile of Gaussian releases, slowly, in 120 decimal digits.

Balle & Wang 2018, https://arxiv.org/abs/1805.06530, theorem 8, as it stands there: two normal
tails and an exponential, with digits enough that nothing has to be rearranged.
"""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

DIGITS = 120
PI = Decimal("3.1415926535897932384626433832795028841971693993751058209749445923078164062862")


def upper_tail(t: Decimal) -> Decimal:
    """P(N(0, 1) > t): the series of the error function near zero, a continued fraction far out."""
    if t < 0:
        return 1 - upper_tail(-t)
    density = (-t * t / 2).exp() / (2 * PI).sqrt()
    if t < 12:
        term = total = t
        k = 1
        while term > Decimal(10) ** -DIGITS:
            k += 2
            term = term * t * t / k
            total += term
        return Decimal(1) / 2 - density * total
    fraction = t
    for k in range(400, 0, -1):
        fraction = t + k / fraction
    return density / fraction


def delta_of(epsilon: float, noise_multiplier: float, count: int) -> Decimal:
    """The least delta with which ``count`` Gaussians are (epsilon, delta)-private."""
    with localcontext(Context(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)):
        mu = Decimal(count).sqrt() / Decimal(noise_multiplier)
        e = Decimal(epsilon)
        return upper_tail(e / mu - mu / 2) - e.exp() * upper_tail(e / mu + mu / 2)
