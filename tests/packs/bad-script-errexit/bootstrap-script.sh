#!/bin/bash
nodejs24 measure.js; echo finished
