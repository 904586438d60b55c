"""Which strategies may be handed one aggregate instead of each reply."""

from flwr.serverapp.strategy import Strategy

from privfl.core import CompositionError, require

LINEAR = ("FedAvg", "FedAvgM", "FedOpt", "FedAdam", "FedYogi", "FedAdagrad", "FedProx")

INSTEAD = {
    "FedMedian": "FedAvg under Pipeline(TrimmedMean(n_byzantine=…)), which is the median where one "
    "or two values are left",
    "FedTrimmedAvg": "FedAvg under Pipeline(TrimmedMean(n_byzantine=…))",
    "Bulyan": "FedAvg under Pipeline(NNM(TrimmedMean(n_byzantine=…)))",
    "Krum": "FedAvg under Pipeline(Krum(n_byzantine=…))",
    "MultiKrum": "FedAvg under Pipeline(NNM(Krum(n_byzantine=…)))",
    "QFedAvg": "a subclass of FedAvg: let the train function form F^q times its update and the "
    "metric h, declare train_metrics=[Scalar('h', bound=…)], and divide by h",
    "FedXgbBagging": "it without a guard: trees are no vectors",
    "FedXgbCyclic": "it without a guard: trees are no vectors",
    "DifferentialPrivacyServerSideFixedClipping": "its strategy under Pipeline(Plain(), Clip(…), "
    "Mean(), CentralGaussianNoise(…))",
    "DifferentialPrivacyClientSideFixedClipping": "its strategy under Pipeline(Clip(…), Mean(), "
    "CentralGaussianNoise(…))",
    "DifferentialPrivacyServerSideAdaptiveClipping": "its strategy under Pipeline(AdaptiveClip(…), "
    "Mean(), CentralGaussianNoise(…))",
    "DifferentialPrivacyClientSideAdaptiveClipping": "its strategy under Pipeline(AdaptiveClip(…), "
    "Mean(), CentralGaussianNoise(…))",
}


def require_linear(strategy: Strategy) -> Strategy:
    """Refuse a strategy that is wrong when one aggregate stands for all replies.

    One that is not Flower's own is asked to say ``takes_one_aggregate = True`` where it has an
    ``aggregate_train`` of its own: a median of one reply is no median, and nobody would notice.

    Raises:
        CompositionError: naming the strategy, and the pipeline that does the same.
        ValueError: for what is no strategy of the Message API.
    """
    wanted = "guard() takes a strategy of flwr.serverapp.strategy"
    require(isinstance(strategy, Strategy), wanted, type(strategy).__name__)
    kinds = [kind.__name__ for kind in type(strategy).__mro__ if _is_flowers(kind)]
    name = type(strategy).__name__
    for kind in kinds:
        if kind in INSTEAD:
            said = name if kind == name else f"{name}, a {kind},"
            reason = f"{said} needs each reply, and the guard hands it one aggregate"
            raise CompositionError("R8", (strategy,), reason, f"Use {INSTEAD[kind]}")
    own_loop = type(strategy).start is not Strategy.start
    linear = _author(strategy, "aggregate_train") in LINEAR
    if own_loop or not (linear or getattr(strategy, "takes_one_aggregate", False)):
        own = "start" if own_loop else "aggregate_train"
        reason = (
            f"{name} has {own} of its own, and the guard hands it one aggregate for all replies"
        )
        fix = (
            "Guard a strategy with the usual start"
            if own_loop
            else "If that is right for it, say so in the class: takes_one_aggregate = True"
        )
        raise CompositionError("R8", (strategy,), reason, fix)
    return strategy


def _is_flowers(kind: type) -> bool:
    return kind.__module__.startswith("flwr.")


def _author(strategy: Strategy, method: str) -> str:
    """Return Flower's class that a method comes from, or nothing where it is not Flower's."""
    for kind in type(strategy).__mro__:
        if method in vars(kind):
            return kind.__name__ if _is_flowers(kind) else ""
    return ""
