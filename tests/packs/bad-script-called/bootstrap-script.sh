#!/bin/bash
set -e
cd process
./measure.sh
