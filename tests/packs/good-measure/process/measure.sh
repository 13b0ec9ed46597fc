echo "measured"
