#!/bin/bash
for one in 1 2; do
    echo "$one"
fi
