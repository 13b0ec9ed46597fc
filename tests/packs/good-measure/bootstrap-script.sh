#!/bin/bash
cd process
bash measure.sh
