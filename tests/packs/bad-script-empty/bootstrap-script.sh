#!/bin/bash
# nothing yet

