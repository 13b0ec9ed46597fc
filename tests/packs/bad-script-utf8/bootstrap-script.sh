#!/bin/bash
echo ok
echo "café"
