#!/bin/sh
# What the image is filled with, step by step. The Dockerfile runs it, and tests/deploy/test_image.py in a folder.
#
#   build.sh packages VENV LOCKS [EXTRA …]   an environment with what the locks in the folder LOCKS name, wheels only
#   build.sh site VENV CODE                  compiles both, and collects the static files into CODE/staticfiles
set -eu

packages() {
    venv=$1 locks=$2
    shift 2
    python3 -m venv --without-pip "$venv" # nobody installs anything where it runs
    for name in production "$@"; do
        python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --no-compile \
            --require-hashes --no-deps --only-binary :all: --requirement "$locks/$name.txt"
    done
    # Python would run these whatever is started: none of the locked packages has one.
    for stranger in "$venv"/lib/python3*/site-packages/*.pth "$venv"/lib/python3*/site-packages/*customize.py; do
        [ ! -e "$stranger" ] || { echo "$stranger would run at every start" >&2; exit 1; }
    done
    # Headers, tests and a protocol of Arrow's that nobody here speaks: 40 MB.
    for arrow in "$venv"/lib/python3*/site-packages/pyarrow; do
        rm -rf "$arrow/include" "$arrow/tests" "$arrow/src" "$arrow"/_flight* "$arrow"/libarrow_flight* \
            "$arrow"/libarrow_python_flight*
    done
}

site() {
    venv=$1 code=$2
    # Nothing changes there any more, so that nobody need compare times.
    "$venv/bin/python" -m compileall -qq -j 0 --invalidation-mode unchecked-hash "$venv/lib" \
        "$code/apps" "$code/gateway_site" "$code/manage.py" || true # what is not Python in spite of its name is no error
    # Embedded, so that it wants no secrets: what it makes up goes with the folder.
    scratch=$(mktemp -d)
    (cd "$code" && WEIR_PROFILE=embedded WEIR_VAR=$scratch WEIR_STATIC_DIR=$code/staticfiles \
        "$venv/bin/python" manage.py collectstatic --noinput --verbosity 0)
    rm -rf "$scratch"
}

"$@"
