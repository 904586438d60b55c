"""What a masked sum hides from whom, in words."""

from privfl.core import Contract, Plan
from privfl.core._ring import about_wrapping
from privfl.defenses.masking._threat_model import GRINDING, SECURITY, Safety


def in_words(safety: Safety) -> str:
    """Say who masks with whom, and how many must stay."""
    graph = f"each of {safety.n} masks with {safety.neighbors} others"
    if safety.complete:
        graph = f"each of {safety.n} masks with all others"
    return (
        f"{graph}; {safety.threshold} shares open a secret, {safety.quorum} sign who is counted; "
        f"at least {safety.min_survivors} must stay, {safety.anonymity} honest ones hide each other"
    )


def notes(safety: Safety, plan: Plan, contract: Contract) -> tuple[str, ...]:
    """Say what holds up to where, and what no protocol of this kind stops."""
    survives = safety.n - safety.min_survivors if safety.complete else safety.dropped
    found = [
        f"Masks hold against a server that lies with up to {safety.corrupt} of {safety.n} clients, "
        f"and the sum survives {survives} that vanish. Beyond that bound they do not: a "
        "server with all clients but one learns that one's update.",
        "No mask stops a server that sends the same trapped model to all, nor what the sum itself "
        "shows. Clients refuse different models only where they are told the model's hash.",
    ]
    if safety.exposed > -SECURITY - GRINDING:
        found.append(
            f"On one drawn graph somebody is exposed with a chance of 2^{safety.exposed:.0f}. "
            f"That leaves no margin for a server that tries many graphs: 2^-{SECURITY + GRINDING} "
            "would. Leave threshold and neighbors out to have it."
        )
    found += about_wrapping(plan)
    if contract.claims_privacy:
        found.append(
            "What the server sees is private against bounded computers only (SIM-CDP): it rests on "
            "X25519 and AES-128, and not on anything a later quantum computer could not open (R19)."
        )
    return tuple(found)
