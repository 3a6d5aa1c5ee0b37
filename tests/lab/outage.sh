#!/usr/bin/env bash
# The coordinator is cut off from everybody, silently, in the midst of a training with twenty peers: no packet gets
# through in either direction and nobody is told. After two minutes the cable is mended, and the training goes on.
#   LAB_OUTAGE_S=120    how long
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

outage_s=${LAB_OUTAGE_S:-120}
internet_new || give_up "the lab's internet can be made"
text_project text 12 12 40
coordinator_at coordinator
peers_start
claim "twenty peers reach the coordinator" wait_for 60 peers_connected 20
submit text "$work/text.yaml"
wait_for 120 has_accepted text 36
link_cut coordinator
before=$(field text units_accepted)
started=$SECONDS
sleep "$outage_s"
claim "nothing is accepted of peers that cannot be heard" same yes \
	"$([ $(($(field text units_accepted) - before)) -le 40 ] && echo yes)"
gone=$(grep -hcE 'lost .*203.0.113.2|cannot reach 203.0.113.2' "$work"/peer-*.log | grep -vc '^0$')
echo "# after $((SECONDS - started)) s of silence $gone of 20 peers have noticed; round $(field text round) of 12"
claim "nearly every peer notices that the coordinator is gone" [ "$gone" -ge 18 ]
at_heal=$(field text units_accepted)
link_heal coordinator
healed=$SECONDS
claim "all peers come back by themselves" wait_for 120 peers_connected 20
echo "# all were back after $((SECONDS - healed)) s"
claim "the training goes on" wait_for 120 has_accepted text $((at_heal + 1))
claim "the project is trained to its end" finished text 300
claim_same_model text 144
finish
