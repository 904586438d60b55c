"""A small duel that nobody ran, with every kind of cell in it."""

from dataclasses import replace

import torch

from privfl.evaluate._table import (
    Cell,
    Column,
    CrowdPoint,
    LabelBars,
    Pictures,
    Row,
    SliderStop,
    StripRow,
    Table,
)
from privfl.evaluate._verdict import Verdict

NO_NOISE = "infinite: no noise"
MEANINGLESS = (
    "client level, zero-out, against the server: epsilon no meaningful guarantee (above 100)"
)

ROWS = (
    Row("undefended", "Pipeline()", (0.90, 0.92), NO_NOISE),
    Row("Krum", "Pipeline(Krum(n_byzantine=2))", (0.82, 0.84), NO_NOISE),
    Row("noise", "Pipeline(Clip(1.0), Noise(0.1))", (0.87,), MEANINGLESS, "attackers skip it"),
)
COLUMNS = (
    Column("none", "poisoning", "12 rounds"),
    Column("sign flip", "poisoning", "12 rounds", "minus five times the honest mean"),
    Column("IPM", "poisoning", "12 rounds"),
    Column("one image", "privacy", "one step", "one image a client"),
    Column("linear", "privacy", "one step"),
    Column("labels", "privacy", "as trained"),
)
CELLS = (
    Cell(
        "undefended", "none", Verdict.NOT_APPLICABLE, value=0.91, curves=((0.3, 0.9), (0.4, 0.92))
    ),
    Cell("Krum", "none", Verdict.NOT_APPLICABLE, curves=((0.3, 0.8),), note="diverged in round 4"),
    Cell(
        "undefended",
        "sign flip",
        Verdict.HARMED,
        *(0.79, (0.75, 0.83), 0.10),
        twin=0.89,
        strength="scale 5",
        n=3,
        seconds=12.3,
        note="diverged in round 7",
        curves=((0.1, 0.1), (0.2, 0.1)),
        twin_curves=((0.3, 0.89),),
    ),
    Cell("Krum", "sign flip", Verdict.HELD, -0.01, (-0.02, 0.01), 0.79, twin=0.78, n=3),
    Cell("undefended", "IPM", Verdict.INCONCLUSIVE, 0.02, (0.01, 0.06), 0.87, twin=0.89, n=3),
    Cell("Krum", "IPM", Verdict.HARMED, 0.66, (0.58, 0.74), 0.12, twin=0.78, n=3),
    Cell(
        "undefended",
        "one image",
        Verdict.LEAK,
        *(0.97, (0.70, 0.98), 0.98, 11.5, 0.01),
        psnr=41.6,
        n=16,
        unit="victims",
        strength="300 iterations",
    ),
    Cell("Krum", "one image", Verdict.LEAK, 0.97, (0.70, 0.98), 0.98, reused_from="undefended"),
    Cell(
        "noise",
        "one image",
        Verdict.LEAK,
        *(0.50, (0.22, 0.75), 0.53, 11.5, 0.03),
        psnr=6.5,
        n=16,
        unit="victims",
    ),
    Cell("undefended", "linear", Verdict.NOT_APPLICABLE, note="the first layer is a convolution"),
    Cell("undefended", "labels", Verdict.CERTIFIED_EXACT, 0.23, (0.15, 0.3), 0.21, baseline=0.44),
    Cell("noise", "labels", Verdict.NO_EVIDENCE, 0.0, (-0.05, 0.05), 0.44, baseline=0.44),
)


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(10, 28, 28, generator=torch.Generator().manual_seed(seed))


def pictures() -> Pictures:
    return Pictures(
        truth=images(),
        strip=(
            StripRow("undefended", images(1), 10, 0.91, NO_NOISE),
            StripRow("noise", images(2), 7, 0.87, MEANINGLESS),
        ),
        crowd=(
            CrowdPoint(1, 1.0, 0.0, (0.8, 1.0)),
            CrowdPoint(10, 0.97, 0.05, (0.7, 1.0)),
            CrowdPoint(320, 0.28, 0.21, (0.1, 0.4)),
        ),
        labels=(LabelBars("client 0", (0.5, 0.5, 0.0), (0.4, 0.5, 0.1), 0.1, 0.44),),
        slider=(
            SliderStop(0.0, images(3), 10, 0.91, NO_NOISE),
            SliderStop(0.1, images(4), 6, None, MEANINGLESS),
        ),
    )


def made_up_table(*cells: Cell, **changes: object) -> Table:
    """The table, with further cells in the place of its own, and other fields where given."""
    table = Table(
        title="Ten clients",
        rows=ROWS,
        columns=COLUMNS,
        cells={(cell.row, cell.column): cell for cell in (*CELLS, *cells)},
        seeds=3,
        wanted=5,
        pictures=pictures(),
        facts={"model": "CNN", "delta": "1e-5"},
    )
    return replace(table, **changes)
