#!/bin/sh
# Writes a revision: brings an empty database up to date, and compares it with the models.
set -eu

cd "$(dirname "$0")/.."
message=$1
[ -n "$message" ] || { echo 'Say what changes: make migration MESSAGE="add a table"' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PILOT_DATA_DIR="$folder" PILOT_DATABASE_URL="" PILOT_SECRET_KEY="only-for-an-empty-throw-away-database"
.venv/bin/flask --app pilot.app db upgrade
.venv/bin/flask --app pilot.app db revision --autogenerate --message "$message"
