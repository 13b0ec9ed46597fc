#!/bin/bash
set -e
cd process
bash judge.sh
