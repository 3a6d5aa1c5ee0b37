#!/usr/bin/env bash
# A project's ledger, from real processes: whole after kill -9 of the coordinator, recomputed from the data alone, bit
# for bit and by another engine, and refused when a byte of it is changed.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

audit() { # NAME ARGUMENT...
	local log=$work/audit-$1.log
	shift
	"$talkoot" audit "$@" >"$log" 2>&1 </dev/null
}

scalar_audit() {
	TALKOOT_ENGINE=scalar audit scalar "$work/text.ledger" --recompute all --data "$work/offline"
}

exits() { # CODE COMMAND...
	local code=$1
	shift
	"$@"
	[ $? = "$code" ]
}

# Changes the byte at an offset into another one.
change() { # FILE OFFSET
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "%b" "\\x$(printf %02x $(((byte + 85) % 256)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

rounds_merged() { # PROJECT COUNT
	[ "$(field "$1" round)" -ge "$2" ]
}

peer_ledger_head() { # PEER
	"$talkoot_peer" status --home "$work/peer-$1" --json | sed -nE 's/.*"ledger": "([^"]+)".*/\1/p'
}

has_heard_head() { # PEER
	[ -n "$(peer_ledger_head "$1")" ]
}

text_project text 5
table_project table 3
text_project robust 2 5
sed -i 's/^train: *{/&merge: multi_krum, compression: sparseloco, /' "$work/robust.yaml"
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
peers_take_part 1 2 3
submit text "$work/text.yaml"
submit table "$work/table.yaml"
submit robust "$work/robust.yaml"
wait_for 60 rounds_merged text 1
coordinator_kill
coordinator_start
claim "a project is trained to its end over kill -9 of its coordinator" finished text 120
claim "and so is another one besides" finished table 120

"$talkoot" -C "$home" ledger text -o "$work/text.ledger" >"$work/ledger.log" 2>&1
claim "its ledger is written" says "$work/ledger.log" "^network"
mkdir "$work/offline" && cp "$work/text.txt" "$work/offline" && cp "$work/text.yaml" "$work/offline/project.yaml"
claim "the ledger is whole after the crash" audit plain "$work/text.ledger"
claim "all of it is recomputed from the project's folder" \
	audit all "$work/text.ledger" --recompute all --data "$work/offline"
claim "the audit ends at the model that was trained" says "$work/audit-all.log" "model +$(field text model_digest)"
claim "and has followed the parameters there" says "$work/audit-all.log" "followed from the initial ones to the model"
claim "the scalar engine gets the same" \
	scalar_audit
claim "a project with a robust merge is trained to its end" finished robust 120
"$talkoot" -C "$home" ledger robust -o "$work/robust.ledger" >"$work/ledger.log" 2>&1
mkdir "$work/robust" && cp "$work/robust.txt" "$work/robust" && cp "$work/robust.yaml" "$work/robust/project.yaml"
claim "an audit merges by the robust rule as the grid did" \
	audit robust "$work/robust.ledger" --recompute all --data "$work/robust"
claim "and ends at its model" says "$work/audit-robust.log" "model +$(field robust model_digest)"
claim "some units are recomputed from the coordinator's blobs" \
	audit some "$work/text.ledger" --recompute 3 --data "$home"
claim "with a bound on how many may be wrong" says "$work/audit-some.log" "95 % confidence at most 63.2 %"
"$talkoot" audit "$work/text.ledger" --recompute 3 --data "$home" >"$work/again.log" 2>&1
claim "a repeated audit draws the same units" same "$(cat "$work/again.log")" "$(cat "$work/audit-some.log")"
claim "other data are not taken for those that were trained on" \
	exits 1 audit other "$work/text.ledger" --recompute 1 --data "$work/table.yaml"
claim "another network's key is asked for in vain" exits 1 audit network "$work/text.ledger" \
	--network 0000000000000000000000000000000000000000000000000000000000000000
claim "a peer hears a head of the ledger" wait_for 60 has_heard_head 1
head=$(peer_ledger_head 1)
"$talkoot" -C "$home" ledger text -o "$work/all.ledger" >"$work/ledger.log" 2>&1
claim "and the ledger passes it" audit head "$work/all.ledger" --head "$head"
other=$(echo "$head" | sed -E 's/:(.)/:\1\1/; s/.$//')
claim "another head of as many entries is another ledger" exits 1 audit other_head "$work/all.ledger" --head "$other"
claim "and that is said" says "$work/audit-other_head.log" "signed two different ledgers"
claim "an export that ends before the head is told from a whole one" \
	exits 1 audit older "$work/all.ledger" --head "999999:${head#*:}"
claim "recomputing without data is a mistake of usage" exits 2 audit usage "$work/text.ledger" --recompute all

size=$(stat -c %s "$work/text.ledger")
for i in 1 2 3 4 5 6; do
	cp "$work/text.ledger" "$work/changed.ledger"
	change "$work/changed.ledger" $((size * i / 7))
	claim "a changed byte is refused (byte $((size * i / 7)))" exits 1 audit changed "$work/changed.ledger"
done
claim "and its place is named" says "$work/audit-changed.log" "entry|byte|header|head"

"$talkoot" -C "$home" explain text 2.3 >"$work/explain.log" 2>&1
claim "a unit's story says who was credited and why" says "$work/explain.log" "equal to the canonical result: credited"
claim "a unit that does not exist is refused" \
	test "$("$talkoot" -C "$home" explain text 99.1 2>&1 >/dev/null | wc -l)" = 1
"$talkoot_peer" history --home "$work/peer-1" -n 2 >"$work/history.log" 2>&1
claim "a volunteer is told what became of the last results" says "$work/history.log" "unit [0-9]+\.[0-9]+: "
claim "and of no more than were asked for" test "$(wc -l <"$work/history.log")" = 2
finish
