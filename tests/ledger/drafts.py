"""Entries to write, and the auditor's script as a module."""

import importlib.util
import secrets
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER, OUTSIDER = ["server"], []


def gaussian(z=1.0):
    return {"kind": "GaussianDpEvent", "noise_multiplier": z}


def poisson(q, z):
    return {"kind": "PoissonSampledDpEvent", "sampling_probability": q, "event": gaussian(z)}


def fixed_size(total, size, z):
    sizes = {"source_dataset_size": total, "sample_size": size}
    return {"kind": "SampledWithoutReplacementDpEvent", **sizes, "event": gaussian(z)}


def charge(**changed):
    return {
        "kind": "charge",
        "release": secrets.token_hex(16),
        "unit": "client",
        "dataset": "clinic",
        "vantage": SERVER,
        "relation": "zero-out",
        "event": gaussian(),
        "count": 1,
        "delta": 0.0,
        "n_units": 10,
        "max_records": None,
        "provenance": "declared",
        "pipeline": "",
        "run": "0" * 16,
    } | changed


def disjoint(*names):
    return {"kind": "disjoint", "datasets": sorted(names)}


def auditor():
    """Import ``docs/verify_ledger.py``."""
    spec = importlib.util.spec_from_file_location("verify_ledger", ROOT / "docs/verify_ledger.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
