#!/bin/bash
set -e
pip install -r requirements.txt
# polars starts a thread per core, and each reserves memory; more than a few are of no use here
export POLARS_MAX_THREADS=${POLARS_MAX_THREADS:-4}
cd process
python rule_basic.py
