#!/bin/bash
set -e
cd process
bash row-count.sh
