# A grid of real processes on loopback, for tests: one coordinator, peers by number, projects small enough to wait
# for. Prints TAP. Everything lives in a temporary folder and ends with the test. Sourced.
# shellcheck shell=bash disable=SC2034 # its readers are elsewhere

set -uo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

work=$(mktemp -d)
home=$work/coordinator
address=127.0.0.1:0
coordinator=
serve_options=()
declare -A peer_pids=()
claims=0 failures=0

cleanup() {
	end_processes "${peer_pids[@]}" ${coordinator:+"$coordinator"}
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# claim TEXT COMMAND...: one TAP line; the command's success is the claim's.
claim() {
	local text=$1
	shift
	claims=$((claims + 1))
	if "$@"; then
		echo "ok $claims - $text"
	else
		echo "not ok $claims - $text"
		echo "# failed: $*"
		failures=$((failures + 1))
	fi
}

skip() { # WHY
	claims=$((claims + 1))
	echo "ok $claims # SKIP $1"
}

# Ends the test; when something failed, with the ends of all logs.
# A process that a sanitizer has reported on goes on, so its log has to be asked.
no_sanitizer_report() {
	! grep -lE '(ERROR|WARNING): (Address|Thread|Leak)Sanitizer|runtime error:' "$work"/*.log 2>/dev/null
}

finish() {
	local log
	claim "no sanitizer reports anything" no_sanitizer_report
	echo "1..$claims"
	[ "$failures" = 0 ] && exit 0
	for log in "$work"/*.log; do
		echo "# ${log##*/}:"
		tail -n 25 "$log" | sed 's/^/#   /'
	done
	exit 1
}

give_up() { # WHY
	claims=$((claims + 1)) failures=$((failures + 1))
	echo "not ok $claims - $1"
	finish
}

# Seconds say here how long something takes on an ordinary computer at its leisure, so that a reader sees what to expect.
# They only decide when a test gives up, and a busy or slow computer, or a sanitizer, must not make it: so all of them
# are multiplied. It costs nothing when all is well, since waiting ends with what is waited for.
patience=${GRID_PATIENCE:-6}
ENDING_S=$((3 * patience))

# Tries COMMAND every tenth of a second, until it succeeds or SECONDS, times our patience, have passed.
wait_for() { # SECONDS COMMAND...
	local end=$((SECONDS + $1 * patience))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

says() { # FILE PATTERN
	grep -qE -- "$2" "$1"
}

same() { # A B
	[ -n "$1" ] && [ "$1" = "$2" ]
}

# The coordinator. It keeps its port over restarts.

coordinator_says_serving() {
	tail -n +"$log_from" "$work/serve.log" | grep -q ' serving ' || ! kill -0 "$coordinator" 2>/dev/null
}

coordinator_start() {
	[ -d "$home" ] || "$talkoot" init "$home" >"$work/init.log" 2>&1 || give_up "a coordinator's home can be made"
	touch "$work/serve.log"
	log_from=$(($(wc -l <"$work/serve.log") + 1))
	"$talkoot" serve "$home" --listen "$address" "${serve_options[@]}" >>"$work/serve.log" 2>&1 </dev/null &
	coordinator=$!
	if ! wait_for 30 coordinator_says_serving || ! kill -0 "$coordinator" 2>/dev/null; then
		give_up "the coordinator starts"
	fi
	link=$("$talkoot" invite "$home")
	address=${link##*@}
}

coordinator_kill() {
	kill -9 "$coordinator"
	wait "$coordinator" 2>/dev/null
	coordinator=
}

coordinator_stop() {
	end_processes "$coordinator"
	coordinator=
}

# Peers, by number. They listen on loopback and ask no router of the network that this computer is in.
peer_alone=(--listen 127.0.0.1:0 --no-port-mapping)

peer_start() { # NUMBER [OPTION...]
	local number=$1 log=$work/peer-$1.log
	shift
	if [ ! -d "$work/peer-$number" ]; then
		"$talkoot_peer" join "$link" --yes --home "$work/peer-$number" >"$log" 2>&1 </dev/null ||
			give_up "peer $number can join"
	fi
	"$talkoot_peer" run --home "$work/peer-$number" "${peer_alone[@]}" "$@" >>"$log" 2>&1 </dev/null &
	peer_pids[$number]=$!
}

peer_kill() { # NUMBER
	kill -9 "${peer_pids[$1]}"
	wait "${peer_pids[$1]}" 2>/dev/null
	unset "peer_pids[$1]"
}

peer_stop() { # NUMBER
	end_processes "${peer_pids[$1]}"
	unset "peer_pids[$1]"
}

peers_connected() { # COUNT
	"$talkoot" -C "$home" status --json | grep -q "\"peers_connected\":$1,"
}

# The identity of a peer, and what the page shows of it: {"id":…}. They are asked of a peer that has run.

peer_id() { # NUMBER
	"$talkoot_peer" status --home "$work/peer-$1" --json | sed -n 's/.*"peer": *"\([0-9a-f]\{16\}\).*/\1/p'
}

peer_shows() { # NUMBER PATTERN
	"$talkoot" -C "$home" status --json | grep -o "{\"id\":\"$(peer_id "$1")\"[^}]*}" | grep -qE -- "$2"
}

# The coordinator has found its self-test right, so it takes part from the beginning, however busy this computer is.
is_tested() { # NUMBER
	peer_shows "$1" '"tested_at":[1-9]'
}

all_tested() { # NUMBER...
	local number
	for number in "$@"; do
		is_tested "$number" || return 1
	done
}

# Peers that have started, or given up.
peers_take_part() { # NUMBER...
	wait_for 30 all_tested "$@" || give_up "the self-tests of peers $* end"
}

is_retired() { # NUMBER
	peer_shows "$1" '"state":"retired"'
}

not_retired() { # NUMBER
	! is_retired "$1"
}

# A file of HOME/faults about this peer, whose fault matches the pattern, is proven by somebody who has nothing else,
# whatever this processor's best engine is.
fault_proven() { # NUMBER PATTERN
	local file id
	id=$(peer_id "$1")
	for file in "$home"/faults/*.fault; do
		"$talkoot" verify-fault "$file" --network "$link" >"$work/verdict" 2>&1 || return 1
		TALKOOT_ENGINE=scalar "$talkoot" verify-fault "$file" | grep -q '^proven' || return 1
		grep -q "$id" "$work/verdict" && grep -qE "^  fault +$2" "$work/verdict" && return 0
	done
	return 1
}

# Projects.

field() { # PROJECT FIELD
	project_field "$home" "$1" "$2"
}

submit() { # PROJECT FILE
	"$talkoot" -C "$home" submit "$2" >"$work/submit-$1.log" 2>&1 </dev/null || give_up "$1 can be submitted"
}

is_over() { # PROJECT
	case "$(field "$1" state)" in
	done | failed | stopped) return 0 ;;
	*) return 1 ;;
	esac
}

# True once the project is done.
finished() { # PROJECT SECONDS
	wait_for "$2" is_over "$1" && [ "$(field "$1" state)" = "done" ]
}

# The digest of the model that one process trains.
local_model() { # FILE
	"$talkoot" train "$1" >"$1.train.log" 2>&1 </dev/null
	digest_in "$1.train.log"
}

# A text of COUNT words drawn from a few dozen, the same for the same SEED.
write_text() { # FILE COUNT SEED
	awk -v count="$2" -v seed="$3" 'BEGIN {
		n = split("neighbours come together unpaid to do in a day what one household could not do in a year " \
			"the roof the hay the road the well and when evening falls there is soup bread song", word, " ")
		x = seed
		for (i = 0; i < count; i++) {
			x = (x * 16807) % 2147483647
			printf "%s%s", word[1 + x % n], (i % 11 == 10) ? ".\n" : " "
		}
	}' >"$1"
}

# A table of two numeric columns, one of words, some missing values, and a label that depends on them.
write_table() { # FILE ROWS SEED
	awk -v rows="$2" -v seed="$3" 'BEGIN {
		split("spruce birch pine", tree, " ")
		x = seed
		print "height,age,tree,felled"
		for (i = 0; i < rows; i++) {
			x = (x * 16807) % 2147483647; height = x % 4000 / 100
			x = (x * 16807) % 2147483647; age = x % 150
			x = (x * 16807) % 2147483647; kind = 1 + x % 3
			print height "," (x % 17 == 0 ? "?" : age) "," tree[kind] "," (height * kind > 30 && age > 60 ? "yes" : "no")
		}
	}' >"$1"
}

# Projects that a grid on two cores finishes in seconds: NAME.yaml and its data, in $work.

text_project() { # NAME ROUNDS [UNITS [STEPS]]
	write_text "$work/$1.txt" 12000 7
	cat >"$work/$1.yaml" <<-YAML
		project: {name: $1, seed: 7}
		model:   {type: char-mlp, context: 8, embedding: 8, hidden: [64]}
		data:    {path: $1.txt, format: text, validation_fraction: 0.1}
		train:   {learning_rate: 4.0e-3, batch_size: 32, rounds: $2, units_per_round: ${3:-6}, inner_steps: ${4:-10}}
		verify:  {policy: full, quorum: 2}
	YAML
}

table_project() { # NAME ROUNDS
	write_table "$work/$1.csv" 1500 11
	cat >"$work/$1.yaml" <<-YAML
		project: {name: $1, seed: 3}
		model:   {type: mlp, hidden: [32, 16]}
		data:    {path: $1.csv, format: csv, header: true, label: felled, missing: "?", validation_fraction: 0.2}
		train:   {learning_rate: 3.0e-3, batch_size: 32, rounds: $2, units_per_round: 4, inner_steps: 10,
		          outer: {optimizer: sgd, learning_rate: 1.0}}
		verify:  {policy: full, quorum: 2}
	YAML
}
