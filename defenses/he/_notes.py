"""What a user must know of an encrypted sum."""

from typing import TYPE_CHECKING

from privfl.core import Contract
from privfl.defenses.he._parameters import Parameters

if TYPE_CHECKING:
    from privfl.defenses.he._encrypted_sum import EncryptedSum


def in_words(found: Parameters) -> str:
    """Say which ring it is, and what an update takes."""
    return (
        f"degree {found.degree:,}, a modulus of {found.modulus_bits} bits, "
        f"{found.bytes_per_parameter:.2f} bytes a parameter"
    )


def notes(part: "EncryptedSum", found: Parameters, contract: Contract) -> tuple[str, ...]:
    """Say who can decrypt, and what is not stopped."""
    said = [
        "All clients share one key: each can decrypt whatever it gets hold of, and the server with "
        "any one client reads every update. Letters must not be readable on their way (TLS).",
    ]
    if part.publishes:
        worn = ", and more results than one a round wear the key's noise down"
        said.append(
            "The server gets the result, and is trusted to ask for one sum a round: of two that "
            "differ in one client it could tell that client's update"
            + (f"{worn}." if found.flood_std else ".")
        )
    elif found.scheme == "CKKS":
        said.append(
            "The result stays with those who hold the key. Handing it on, or the model that it "
            "makes, gives the key away (R9): published=… is for that."
        )
    else:
        said.append("The result stays with those who hold the key; published=True hands it out.")
    if contract.noise == "shares":
        said.append(
            "Shares of noise protect against nobody who holds the key (t = 0): the server and one "
            "client see single shares (R24)."
        )
    if contract.claims_privacy:
        said.append(
            "What ciphertexts hide is hidden from bounded computers only (SIM-CDP): it rests on "
            "ring learning with errors at 128 bits (R19)."
        )
    return tuple(said)
