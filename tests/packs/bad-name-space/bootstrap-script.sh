#!/bin/bash
echo "measured"
