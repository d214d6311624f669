# Counts the lines of input.txt with the given word, and prints the number and the day.
set -eu
echo "$DAY: $(grep -c "$1" input.txt) lines with $1"
