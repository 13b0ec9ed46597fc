#!/bin/bash
set -e
python process\measure.py
