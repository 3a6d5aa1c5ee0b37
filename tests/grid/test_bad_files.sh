#!/usr/bin/env bash
# Wrong project files and wrong data: each error has file, line, field and remedy, all of them are said at once, and
# nothing wrong reaches the coordinator.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

check() { # FILE: true when `check` refuses it
	"$talkoot" check "$1" >"$work/check.log" 2>&1 </dev/null
	[ $? = 1 ]
}

passes() { # FILE
	"$talkoot" check "$1" >"$work/good.log" 2>&1 </dev/null
}

# claim_refused TEXT FILE PATTERN...: refused, and each pattern is said.
claim_refused() {
	local text=$1 file=$2 pattern
	shift 2
	claim "$text: refused" check "$file"
	for pattern in "$@"; do
		claim "$text: says $pattern" says "$work/check.log" "$pattern"
	done
}

variant() { # NAME SED: the good text project, changed
	sed -e "$2" "$work/good.yaml" >"$work/$1.yaml"
	echo "$work/$1.yaml"
}

table_variant() { # NAME SED: the good table project with another table
	sed -e "$2" "$work/table.csv" >"$work/$1.csv"
	sed -e "s/table.csv/$1.csv/" "$work/table.yaml" >"$work/$1.yaml"
	echo "$work/$1.yaml"
}

text_project good 2
table_project table 2
claim "a good text project passes" passes "$work/good.yaml"
claim "a good table project passes" passes "$work/table.yaml"

claim_refused "an unknown key" "$(variant unknown 's/batch_size/batchsize/')" 'unknown.yaml:4:[0-9]+: .*batch_size'
claim_refused "a number that is none" "$(variant six 's/hidden: \[64\]/hidden: [6x4]/')" 'six.yaml:2:[0-9]+: .*hidden.*6x4'
claim_refused "a number out of its limits" "$(variant many 's/quorum: 2/quorum: 1/')" 'many.yaml:5:[0-9]+: .*quorum'
claim_refused "what this version cannot do" "$(variant later 's/batch_size: 32/batch_size: 32, compression: powersgd/')" 'later.yaml:4:[0-9]+: .*compression'
claim_refused "several errors" "$(variant several 's/context/contxt/;s/quorum: 2/quorum: many/')" \
	'several.yaml:2:[0-9]+: .*context' 'several.yaml:5:[0-9]+: .*quorum'
claim_refused "broken YAML" "$(variant broken 's/hidden: \[64\]/hidden: [64/')" 'broken.yaml:[0-9]+'
claim_refused "data that are not there" "$(variant absent 's/good.txt/none.txt/')" 'none.txt'
claim_refused "a project file that is not there" "$work/nothing.yaml" 'nothing.yaml'
claim_refused "a row with too few fields" "$(table_variant short '100s/,[^,]*$//')" 'short.csv:100'
claim_refused "an open quote" "$(table_variant quote '50s/^/"/')" 'quote.csv:50'
claim_refused "a label that no column has" "$(sed 's/label: felled/label: fallen/' "$work/table.yaml" >"$work/label.yaml" && echo "$work/label.yaml")" \
	'fallen' 'felled'
printf 'good text, then \xff\xfe\n' >>"$work/good.txt"
claim_refused "text that is not UTF-8" "$work/good.yaml" 'good.txt:[0-9]+'

coordinator_start
for file in "$work/unknown.yaml" "$work/short.yaml" "$work/nothing.yaml"; do
	claim "submit refuses ${file##*/} too" test "$("$talkoot" -C "$home" submit "$file" >/dev/null 2>&1 </dev/null || echo refused)" = refused
	claim "train refuses ${file##*/} too" test "$("$talkoot" train "$file" >/dev/null 2>&1 </dev/null || echo refused)" = refused
done
claim "nothing wrong was submitted" test "$("$talkoot" -C "$home" list | grep -c round)" = 0
finish
