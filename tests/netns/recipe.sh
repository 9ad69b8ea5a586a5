# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A recipe's page is what its test runs.
#
#     recipe_policy smtp-dnsbl       # the first policy of docs/recipes/smtp-dnsbl.md
#     recipe_block smtp-dnsbl sh 2   # its second block marked "sh"; without a mark: ""

recipe_block() # page mark [number]
{
	awk -v mark="\`\`\`$2" -v want="${3:-1}" '
		inside && $0 == "```" { inside = 0; next }
		inside == 1 && n == want { print }
		!inside && /^```/ { inside = 1; n += $0 == mark; if ($0 != mark) inside = 2 }
	' "$TOP/docs/recipes/$1.md"
}
recipe_policy() { recipe_block "$1" pend 1; }
