#!/bin/bash
set -e
bash process/measure.sh
