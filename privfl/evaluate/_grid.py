"""The demo's rows and columns."""

from privfl.attacks.inversion import InvertingGradients, LabelHistogram, LinearInversion
from privfl.attacks.poisoning import ALIE, IPM, LabelFlip, MinMax, SignFlip
from privfl.compression import Quantize
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.evaluate._contender import Contender, Poison, Probe
from privfl.parts import Mean, Plain
from privfl.pipeline import Pipeline

NOISE_LEVELS = (0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)


def poisons(n_byzantine: int) -> tuple[Poison, ...]:
    """Return the demo's poisoning columns."""
    f = n_byzantine
    return (
        Poison(
            "sign flip x5",
            SignFlip(5.0, n_byzantine=f),
            "minus five times the honest mean",
        ),
        Poison(
            "IPM .1", IPM(0.1, n_byzantine=f), "minus a tenth of the honest mean: hides near zero"
        ),
        Poison("ALIE", ALIE(n_byzantine=f), "the mean less z standard deviations"),
        Poison(
            "Min-Max", MinMax(n_byzantine=f), "as far as the honest updates are from each other"
        ),
        Poison("label flip", LabelFlip(n_byzantine=f), "honest training on labels 9 - y"),
    )


def probes() -> tuple[Probe, ...]:
    """Return the demo's privacy columns."""
    invert, briefly = InvertingGradients(), InvertingGradients(iterations=150)
    return (
        Probe("one image", invert, about="one image a client, untrained model"),
        Probe("one image, round 10", invert, round=10, about="the same at round 10"),
        Probe("4 images", invert, victims=8, batch=4, about="a batch of four, untrained model"),
        Probe(
            "4 images, round 10",
            invert,
            victims=8,
            batch=4,
            round=10,
            about="the same at round 10",
        ),
        Probe(
            "as trained, round 10",
            briefly,
            victims=10,
            batch=32,
            round=10,
            as_trained=True,
            about="a client's real update: 6 steps of 32 images, inverted as if it were one",
        ),
        Probe(
            "sum of ten",
            briefly,
            victims=5,
            n_clients=10,
            about="the sum of ten clients with one image each: what any sum still shows",
        ),
        Probe(
            "linear, MLP twin",
            LinearInversion(),
            victims=8,
            batch=4,
            model="twin",
            about="closed form, on the twin whose first layer is linear",
        ),
        Probe(
            "linear, CNN",
            LinearInversion(),
            victims=8,
            batch=4,
            about="closed form, on a convolution: it does not apply",
        ),
        Probe(
            "label histogram",
            LabelHistogram(),
            victims=10,
            batch=32,
            as_trained=True,
            about="how often each label occurs, from the last bias of a real update",
        ),
    )


def crowd_probes() -> tuple[Probe, ...]:
    """Return what the curve "how big must the crowd be?" needs besides the columns."""
    invert = InvertingGradients()
    return tuple(
        Probe(f"ten x {batch} images", invert, victims=cohorts, batch=batch, n_clients=10)
        for batch, cohorts in ((4, 2), (8, 1), (16, 1))
    )


def contenders(n_byzantine: int) -> tuple[Contender, ...]:
    """Return the demo's rows."""
    f, plain = n_byzantine, "undefended"
    strong = ("sign flip x5", "IPM .1")
    most = (*strong, "Min-Max", "label flip")
    seen = tuple(probe.name for probe in probes())
    trimmed = TrimmedMean(n_byzantine=f)
    in_clients = DPSGD(lr=2.0, clip_norm=0.5, noise_multiplier=1.0, steps=6)
    return (
        Contender(plain, Pipeline()),
        Contender(
            "Clip(1), enforced",
            Pipeline(Plain(), Clip(1.0)),
            columns=strong + seen,
            same_view_as=plain,
            note="the server clips what it has seen",
        ),
        Contender(
            "Clip(1) + local noise .1",
            Pipeline(Clip(1.0), LocalGaussianNoise(0.1)),
            columns=("sign flip x5", "one image", "4 images", "sum of ten", "linear, MLP twin"),
            skip_client_half=True,
            note="attackers skip the client half: neither clip nor noise binds them",
        ),
        Contender(
            "Clip(1) + central noise 1.1",
            Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.1)),
            columns=(),
            note="trains to chance at ten clients: `explain` foretells it, and how many it takes",
        ),
        Contender(
            "DP-SGD z=1 in the clients",
            Pipeline(in_clients),
            columns=("one image",),
            note="hides each record from everybody but its own client",
        ),
        Contender(
            "Clip(1) + SecAgg",
            Pipeline(Clip(1.0), SecAgg()),
            columns=("sum of ten",),
            note="the server sees masked words and the sum; what the sum shows, it still shows",
        ),
        Contender(
            "DP-SGD z=1 + SecAgg",
            Pipeline(in_clients, Clip(20.0), SecAgg()),
            columns=("sum of ten",),
            note="masks hide who sent what, and the noise of training hides each record in the sum",
        ),
        Contender(
            "Clip(1) + CKKS",
            Pipeline(Clip(1.0), CKKS()),
            columns=("one image", "sum of ten"),
            note="the server sees ciphertexts; clients open the sum, which shows what a sum shows",
        ),
        Contender(
            "Clip(1) + BFV",
            Pipeline(Clip(1.0), Quantize(16), BFV()),
            columns=("one image", "sum of ten"),
            note="the same with integers, added exactly",
        ),
        Contender("TrimmedMean", Pipeline(trimmed), same_view_as=plain),
        Contender("Krum", Pipeline(Krum(n_byzantine=f)), same_view_as=plain),
        Contender(
            "NNM + TrimmedMean",
            Pipeline(NNM(trimmed)),
            columns=most + seen,
            same_view_as=plain,
        ),
    )
