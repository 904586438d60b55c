# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Secure aggregation, with dropouts and a lying server
#
# Each client adds masks that cancel in the sum. The server learns the sum and no update: also where
# clients vanish, and also where it lies. This notebook runs the protocol, looks at it from the
# server's chair, lies to the clients, and then asks what groups buy and cost.
#
# It runs offline, on digits that ship with the package, in under a minute on one core.

# %%
import pandas
import torch
from torch import Tensor, nn

from privfl import Federation, Pipeline, ProtocolAbort, Vantage
from privfl.attacks.inversion import InvertingGradients
from privfl.attacks.poisoning import SignFlip
from privfl.attacks.protocol import Collusion, DoubleUnmasking, SplitSurvivors, SwappedKeys
from privfl.core import Registry, weights_hash
from privfl.crypto import Identity
from privfl.data import dirichlet, mnist_sample
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, TrimmedMean
from privfl.evaluate import Attackers, Picture, Scenario, reconstruct
from privfl.learning import LocalSGD
from privfl.parts import Grouped, Mean
from privfl.rounds import Opening, Round, direct, drive, respond
from privfl.views import Tape, round_log, verify_log

torch.set_num_threads(1)  # on few cores, one thread is faster than two

digits = mnist_sample()
x, y = digits.train
picked = torch.stack([(y == label).nonzero()[1, 0] for label in range(10)])

# %% [markdown]
# ## Ten clients, one digit each
#
# The model is one linear layer, so that an update can be looked at: row c of its weights is the
# image of label c, brighter or darker. Nothing has to be attacked to see it.


# %%
def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def one_step(image: Tensor, label: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(model(image[None]), label[None])
    return -torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*model.parameters()])])


def digit_in(vector: Tensor, label: int) -> Tensor:
    row = vector[784 * label : 784 * (label + 1)].float()
    return (row / row.abs().max().clamp(min=1e-9)).clamp(0, 1).view(1, 28, 28)


model = make_model()
updates = torch.stack([one_step(x[k], y[k]) for k in picked])
Picture(torch.stack([digit_in(update, label) for label, update in enumerate(updates)]))

# %% [markdown]
# ## One line changed
#
# `SecAgg()` takes the place of the protocol. `explain` says what runs, who sees what, and what no
# mask stops. The threshold follows from the number of clients; numbers that are not safe are
# refused.

# %%
plain, shield = Pipeline(Clip(1.0)), Pipeline(Clip(1.0), SecAgg())
shield.explain(n_clients=10, model=model)

# %% [markdown]
# Real numbers are rounded to a grid before they are masked, and sums in a ring of 20 bits are
# exact. So the two releases differ by less than one step of that grid. And 20 bits are fewer than
# the 32 of a float: what a client sends is shorter, keys and shares included.

# %%
bare, masked = plain.aggregate(updates), shield.aggregate(updates, transcript=True)
step = shield.plan(n_clients=10, model=model).step
apart = float((masked.update - bare.update).abs().max())
print(f"apart by {apart:.1e}, one step is {step:.1e}: below one step: {apart < step}")
print(f"{bare.bytes_up:,} bytes up bare, {masked.bytes_up:,} masked")

# %% [markdown]
# ## Clients vanish
#
# A protocol has stages, and a client may be gone from any of them on. Who vanished before it sent
# its masked vector is not counted, and its masks with the others are taken off with shares that
# they hold. Who vanished after it is counted without being there.

# %%
print(shield.protocol.stages)
release = shield.aggregate(updates, drop={1: "advertise", 3: "mask", 7: "unmask"})
print(f"{release} are counted: {release.survivors}")

# %% [markdown]
# Below the threshold no share set opens anything, and the server ends with nothing. It says so by a
# typed error, not by a wrong sum.

# %%
try:
    shield.aggregate(updates, drop=dict.fromkeys(range(5), "unmask"))
except ProtocolAbort as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## From the server's chair
#
# A recorded round can be seen from any vantage. These are the letters in which clients 0 and 1 sent
# their vectors, a grey value a byte:

# %%
view = masked.transcript.view(Vantage.SERVER)


def masked_words(who: int) -> Tensor:
    letter = max((post.letter for post in view.letters if post.sender == who), key=len)
    return torch.frombuffer(bytearray(letter[-140 * 140 :]), dtype=torch.uint8).view(1, 140, 140)


Picture(torch.stack([masked_words(0), masked_words(1)]) / 255, zoom=2)

# %% [markdown]
# And this is the sum that it opened, row by row. There are the ten digits again, and only whose
# they are is lost. **Masks hide who sent what, not what was sent.**

# %%
(total,) = view.rows.sums
Picture(torch.stack([digit_in(total, label) for label in range(10)]))

# %% [markdown]
# That is no privilege of linear layers. On a small convolutional network nothing is written in
# plain sight, and an attack on the sum of the same ten clients finds them all:

# %%
scenario = Scenario.digits()
seen = reconstruct(
    InvertingGradients(iterations=150),
    shield,
    scenario.fresh_model(0),
    scenario.loss,
    (x[picked], y[picked]),
    n_clients=10,
    pool=scenario.train,
    generator=0,
)
print(f"the sum of ten: identified {seen.identified:.2f} (null {seen.null:.2f}): {seen.verdict}")
Picture(seen.images)

# %% [markdown]
# What helps against that is noise in what is summed, such as `DPSGD` in the clients, or more
# examples behind each update. Masks make sure that the sum is all there is.
#
# ## On a real wire
#
# Above, server and clients shared a process, and keys were made on the spot. In the field each
# client has an identity, and a registry of public keys that does *not* come from the server:
# `privfl keys new` makes the one, `privfl keys register` and `privfl keys list` keep the other.
# Both halves are bytes in, bytes out: what carries them is up to you.

# %%
keys = {f"clinic-{k}": Identity.new() for k in range(10)}
registry = Registry({who: key.public for who, key in keys.items()})
sent = dict(zip(keys, updates, strict=True))
broadcast = weights_hash(model.state_dict())


def client(line, me):
    kept = b""  # all that a client keeps between two letters

    def answer(letter: bytes) -> bytes:
        nonlocal kept
        options = {"identity": keys[me], "registry": registry, "model": broadcast}
        reply, kept = respond(line, me, letter, kept, lambda: (sent[me], {}), **options)
        return reply

    return answer


def opening(line, members=tuple(keys)):
    return Opening.fresh(line, members, body=len(updates[0]), model=broadcast)


tape = Tape()
wire = tape.recording(direct({me: client(shield, me) for me in keys}))
release = drive(Round.open(shield, opening(shield), registry=registry), wire)
print(release, "·", len(tape.posted), "letters")

# %% [markdown]
# Whoever has the registry can check the round's log afterwards: who signed which list of survivors,
# and that nobody showed shares twice. It holds no word of a vector. A line that is taken out is
# missed:

# %%
log = round_log(tape.posted, shield, registry, release.survivors)
found = verify_log(log, registry)
print(found, end="\n\n")
print(verify_log(log[:40] + log[41:], registry, head=found.head).violations[0])

# %% [markdown]
# ## A server that lies
#
# It may send anything to anybody. Three lies, each of which opens one client's vector in a protocol
# that lacks one check: its own keys under other clients' names; asking for shares a second time, as
# if the victim were gone; telling half of the clients that it is gone, and the other half that it
# is not.


# %%
def lie(attack, line=shield, members=tuple(keys)):
    clients = {me: client(line, me) for me in members}
    outcome = attack.run(line, clients, opening(line, members), victim="clinic-3")
    reason = next(iter(outcome.refused.values()), "nobody objects")
    print(f"{type(attack).__name__}: {len(outcome.refused)} of {len(members)} refuse: {reason}")
    return digit_in(torch.zeros(7850) if outcome.guess is None else outcome.guess, 3)


guesses = [lie(SwappedKeys()), lie(DoubleUnmasking()), lie(SplitSurvivors())]
Picture(torch.stack(guesses))

# %% [markdown]
# Nothing was learned: black where the victim said nothing, and noise where masks are left.
#
# Clients may work with the server, as many as `corrupt` declares: one of ten by default. One more
# signs two lists of survivors, both get their quorum, and the lie works. Whoever declares more is
# safe from more, and can lose fewer clients. What no protocol stops, at any setting: nine of ten
# that work with the server. Their shares open the tenth's masks, and a sum less nine of its terms
# is the tenth in any case.
#
# From left to right: one friend, two, two where three are declared, nine.


# %%
def friends(n: int) -> dict[str, Identity]:
    return dict([(who, key) for who, key in keys.items() if who != "clinic-3"][-n:])


stricter = Pipeline(Clip(1.0), SecAgg(corrupt=0.3))
guesses = [
    lie(SplitSurvivors(friends(1))),
    lie(SplitSurvivors(friends(2))),
    lie(SplitSurvivors(friends(2)), stricter),
    lie(Collusion(friends(9))),
]
for line in (shield, stricter):
    print(f"{line}: at least {line.protocol.min_survivors(10)} of 10 must stay")
Picture(torch.stack(guesses))

# %% [markdown]
# ## Thirty clients in groups of five
#
# A server that sees one sum cannot tell who spoiled it. Robust rules compare, so they need rows:
# `Grouped` sums in groups, drawn by coins of all members, and the rule gets a row a group.
#
# `corrupt` then counts within a group, and a tenth of five is nobody. One friend of the server in a
# group of five is more than that:

# %%
five, friend = tuple(keys)[:5], SplitSurvivors({"clinic-4": keys["clinic-4"]})
careful = SecAgg(corrupt=0.2)  # one of five
Picture(torch.stack([lie(friend, Pipeline(Clip(1.0), each), five) for each in (SecAgg(), careful)]))

# %% [markdown]
# So say how many friends a group must stand. Who is drawn into it stays chance: of three friends
# among thirty, two or more sit in a given client's group in 4 % of all rounds. `explain` says what
# a group hides, and how many attackers the rule bears:

# %%
rule = NNM(TrimmedMean(n_byzantine=2))
wide = Clip(20.0)  # masks hide lengths from the server: a clip is each client's own promise
grouped = Pipeline(wide, Grouped(careful, size=5), rule)
print(*grouped.explain(n_clients=30, model=model).notes, sep="\n")

# %% [markdown]
# Two of thirty send minus twenty times the honest mean, for five rounds.

# %%
clients = [(x[rows], y[rows]) for rows in dirichlet(y, 30, alpha=0.5, generator=0)]


def accuracy(pipeline: Pipeline) -> float:
    federation = Federation(
        make_model(),
        clients,
        pipeline,
        loss=nn.functional.cross_entropy,
        local=LocalSGD(lr=0.2, steps=6),
        adversary=Attackers(SignFlip(20.0, n_byzantine=2), members=(28, 29)),
        generator=torch.Generator().manual_seed(0),
    )
    *_, last = federation.rounds(5)
    return scenario.accuracy(last.model)


def row(name: str, pipeline: Pipeline, hidden: int) -> dict[str, object]:
    told = pipeline.explain(n_clients=30, model=model)
    return {
        "pipeline": name,
        "accuracy": accuracy(pipeline),
        "the server sees": dict(told.sees)["the server"].partition(",")[0],
        "hidden among": hidden,
        "bytes up": told.plan.bytes_up,
    }


table = [
    row("SecAgg, Mean", Pipeline(wide, SecAgg(), Mean()), SecAgg().safety(30).anonymity),
    row("NNM, no masks", Pipeline(wide, rule), 1),
    row("groups of five, NNM", grouped, careful.safety(5).anonymity),
]
pandas.DataFrame(table).set_index("pipeline").round(2)

# %% [markdown]
# One sum hides best, and two attackers turn it round. A rule on bare updates holds, and the server
# sees each of them. Groups hold too, and the server sees no update; what they cost is the crowd: a
# client hides among the honest members of one group, three at least, and no longer among fourteen.
# Larger groups hide better and leave fewer rows, so the rule bears fewer attackers. Which of the
# two you need more is your choice.
