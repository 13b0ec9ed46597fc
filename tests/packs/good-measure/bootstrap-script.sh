#!/bin/bash
set -e
cd process
bash measure.sh
