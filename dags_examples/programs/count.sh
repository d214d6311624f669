# Counts the lines of input.txt that hold the word given; says for which day.
set -eu
echo "$DAY: $(grep -c "$1" input.txt) lines with $1"
