#!/usr/bin/env zsh
echo "measured"
