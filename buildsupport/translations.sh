#!/bin/sh
# Takes new texts of code and pages into the catalogues, keeps what is translated, and compiles.
set -eu

cd "$(dirname "$0")/.."
template=$(mktemp)
trap 'rm -f "$template"' EXIT
.venv/bin/pybabel --quiet extract --mapping-file buildsupport/babel.cfg --keyword lazy_gettext \
    --no-location --sort-output --project pilot --output-file "$template" .
for language in it pl; do
    .venv/bin/pybabel --quiet update --init-missing --no-fuzzy-matching --ignore-pot-creation-date --locale "$language" \
        --input-file "$template" --output-dir pilot/translations
done
.venv/bin/python buildsupport/backend.py
