#!/bin/bash
echo "measured"
