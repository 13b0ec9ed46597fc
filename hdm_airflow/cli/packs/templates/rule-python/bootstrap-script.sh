#!/bin/bash
set -e
pip install -r requirements.txt
cd process
python judge.py
