#!/usr/bin/env bash
# Tests privfl.flower with the oldest Flower it supports: scripts/oldest_flower.sh [pytest path]
# Needs .venv as `make test` leaves it; the old Flower and its pins lie over it, in build/.
set -euo pipefail
cd "$(dirname "$0")/.."

# 1.28 is the first whose FedAdam, FedYogi and FedAdagrad take 0-d parameters
flower=1.28.0
# the newest it allows; all else is as in .venv
pins=(cryptography==46.0.7 pathspec==0.12.1 rich==13.9.4)

over=$PWD/build/oldest-flower
unset PYTHONPATH # it would hide what lies in there
.venv/bin/python -m venv --without-pip "$over"

packages_of() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# unlike a bare path, addsitedir also finds the editable install
echo "import site; site.addsitedir('$(packages_of .venv)')" >"$(packages_of "$over")/under.pth"
# warn-conflicts: mypy, which does not run here, wants a newer pathspec
.venv/bin/pip --python "$over" install --quiet --disable-pip-version-check --no-warn-conflicts \
    "flwr==$flower" "${pins[@]}"

export FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 OMP_NUM_THREADS=1
FLWR_HOME=$(mktemp -d)
export FLWR_HOME
trap 'rm -rf "$FLWR_HOME"' EXIT
found=$("$over/bin/python" -c 'import flwr; print(flwr.__version__, flwr.__file__)')
if [[ $found != "$flower $over/"* ]]; then
    echo "flwr must be $flower in $over. Found $found" >&2
    exit 1
fi
echo "Flower $flower"
"$over/bin/python" -m pytest -q -rs --numprocesses auto --dist loadfile "${@:-tests/flower}"
