"""A client that learns what is given, and does on the way what `faults.json` says."""

import json
import time
from pathlib import Path

from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from faulty_app.shield import KEYS, generator, shield
from flower.apps_for_tests import arrays_of, record
from flower.exact_updates import STEPS, floats
from flower.faulty_grid import CHANGES, Fault
from privfl.flower import client_mod
from privfl.flower._letters import Ask, answer, answered
from privfl.rounds._envelope import Envelope


def folder_of(context):
    return Path(str(context.node_config["folder"]))


def number_of(context):
    return int(folder_of(context).name.removeprefix("client-"))


def identity_of(context):
    k = number_of(context)
    return KEYS.names[k], KEYS.identities[k]


def misbehave(message, context, app):
    """Stand before the guard's mod, and so be the last to touch what leaves."""
    ask, folder = Ask.of(message), folder_of(context)
    kind = "" if ask.kind == "hello" else fault_at(place_of(ask.letter, folder), context)
    if kind == "waits to be killed":
        (folder / "waits").touch()
        time.sleep(3600)
    reply = app(message, context)
    if reply.has_error():
        return reply
    letter, last = answered(reply), folder / "last letter"
    before = last.read_bytes() if last.exists() else b""
    last.write_bytes(letter)
    if kind == "answers too late":
        time.sleep(float(context.run_config["timeout"]) + 10)
    if kind == "says its last reply again":
        letter = before
    if kind in CHANGES:
        letter = CHANGES[kind](letter)
    reply.content = answer(letter)
    return reply


def place_of(letter, folder):
    """Write down that a letter has come, and return the round, the stage and the exchange."""
    envelope, path = Envelope.read(letter), folder / "letters.json"
    lines = json.loads(path.read_text()) if path.exists() else []
    session = envelope.session.hex()
    sessions = list(dict.fromkeys([*(line[0] for line in lines), session]))
    number, stage = sessions.index(session), envelope.stage
    exchange = sum(line[0] == session and line[2] == stage for line in lines)
    path.write_text(json.dumps([*lines, (session, number, stage, exchange)]))
    return number, stage, exchange


def fault_at(place, context):
    path = folder_of(context).parent / "faults.json"
    for fault in (Fault(*each) for each in json.loads(path.read_text())):
        here = (fault.round, fault.stage, fault.exchange) == place
        if here and fault.node_id == number_of(context) + 1:
            return fault.kind
    return ""


def guarded(message, context, app):
    """Stand where `client_mod` does; the run says which pipeline it is."""
    settings = context.run_config
    mod = client_mod(
        shield(settings),
        registry=KEYS.registry,
        identity=identity_of,
        generator=generator(settings),
    )
    return mod(message, context, app)


app = ClientApp(mods=[misbehave, guarded])


@app.train()
def train(message, context):
    """Add the given update."""
    x = arrays_of(message.content["arrays"])["w"]
    learned: ArrayRecord = record(w=x + floats(STEPS[number_of(context)]))
    return Message(RecordDict({"arrays": learned}), reply_to=message)
