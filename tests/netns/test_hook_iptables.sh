#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=150
# pend-test: san
# The hookup by iptables, both variants: what it installs, repairs and leaves, and what its rules do.
. "${0%/*}/lib.sh"
. "${0%/*}/hook.sh"

ns_pair 8
need_queue
server tcp:80 udp:53

# Without counters, comments and tables that hold nothing but empty built-in chains: an iptables that looks
# at a table makes it exist, and nobody may take a base chain away.
saved() # variant
{
	local f
	for f in iptables ip6tables; do
		h "$f-$1-save" 2>/dev/null | grep -vE '^(#|COMMIT)' | sed -E 's/ \[[0-9:]*\]//' |
			awk -v f="$f" '/^\*/ {t = $0; next} !/^:[A-Z]+ ACCEPT$/ {print f, t, $0}'
	done
}

test_variant() # nft|legacy
{
	local v=$1 i4=iptables-$1 i6=ip6tables-$1 before a

	h "$i4" -w -A INPUT -p tcp --dport 9 -j ACCEPT
	h "$i4" -w -t security -A INPUT -p tcp --dport 9 -j ACCEPT
	h "$i6" -w -t raw -A PREROUTING -p tcp --dport 9 -j ACCEPT
	before=$(saved "$v")

	hook_start kind=iptables iptables="$v" queue=20
	is "$(hook describe)" "iptables-$v" "$v: described"
	is "$(hook rejects)$(hook repeats)" noyes "$v: cannot reject, wants NF_REPEAT"
	like "$(hook verify)" '^PEND_E_NOT_FOUND chain PEND-CLEAR is missing in the IPv4 table raw' \
		"$v: nothing there before"
	like "$(hook epoch 2)" ^PEND_E_NOT_FOUND "$v: no epoch of rules that are not there"
	is "$(hook install)" PEND_OK "$v: install"
	is "$(hook verify)" PEND_OK "$v: verify"
	is "$(saved "$v" | grep -c -- '-j PEND-')" 8 "$v: a jump to each chain in both families"
	is "$(saved "$v" | grep -c 'security :PEND-')" 10 "$v: in the security table"
	is "$(hook install)" PEND_OK "$v: install again"
	is "$(saved "$v" | grep -c -- '-j PEND-')" 8 "$v: does not double the jumps"

	# ---------------------------------------------------------- packets

	h nft add table inet watch
	h nft 'add chain inet watch late { type filter hook input priority 900; }'
	h nft "add rule inet watch late meta mark & $MASK != 0 counter comment \"left\""
	hook listen 20 repeat $PERMIT >"$WORK/null"
	for a in $H4 $H6; do
		h conntrack -F 2>/dev/null
		client_bg one -l 100 $a 80
		client_wait one
		is "$(of one result)" connected "$v: $a: permitted"
		is "$(ct_mark 80)" $PERMIT "$v: $a: stamped"
	done
	is "$(hook packets)" 2 "$v: the SYNs were queued, and nothing else"
	is "$(noted left watch)" 0 "$v: no mark of ours is left"
	hook listen 20 repeat $ONCE >"$WORK/null"
	h conntrack -F 2>/dev/null
	client_bg once -l 100 $H4 80
	client_wait once
	is "$(of once result)/$(ct_mark 80)" connected/0x00000000 "$v: permitted once"
	hook listen 20 repeat $PERMIT2 >"$WORK/null"
	client_bg other -l 100 $H4 80
	client_wait other
	is "$(of other result)/$(hook packets)" connected/1 "$v: a permit of another epoch does not loop"
	hook listen 20 repeat $RESET >"$WORK/null"
	client_bg reset -t 400 $H4 80
	client_wait reset
	is "$(of reset result)/$(hook packets)" timeout/1 "$v: a reset is not to be had: dropped, no loop"

	hook listen 20 repeat $PERMIT >"$WORK/null"
	# A listener that waits for the processor has answered the first before the second comes.
	client_bg stream -u -d 4 -g $((500 * ${WAIT_FACTOR:-1})) -l 10 $H4 53
	client_wait stream
	is "$(hook packets)" 1 "$v: a stream of datagrams is queued once"
	is "$(h "$BIN/tests/netns/client" 127.0.0.1 80 | field result | head -n 1)" connected "$v: lo"
	hook listen 20 drop 0 >"$WORK/null"
	h ip neigh flush dev eth0
	c ping -qc1 -W1 -b 192.0.2.255 >/dev/null 2>&1
	c ping -qc1 -W1 ff02::1%eth0 >/dev/null 2>&1
	is "$(hook packets)" 0 "$v: lo, broadcast, multicast, neighbour discovery are not"
	h nft 'add chain inet watch first { type filter hook prerouting priority -310; }'
	h nft "add rule inet watch first tcp dport 80 meta mark set $PERMIT"
	client_bg forged -t 300 $H4 80
	client_wait forged
	is "$(of forged result)" timeout "$v: a mark that came from elsewhere is wiped"
	h nft flush chain inet watch first

	# ---------------------------------------------------------- changes that keep held packets

	hook listen 20 hold 0 >"$WORK/null"
	client_bg held -n 3 -t 60000 $H4 80
	wait_for 3 eval '[ "$(hook packets)" -ge 3 ]'
	is "$(hook epoch 2)" PEND_OK "$v: another epoch"
	is "$(hook verify)" PEND_OK "$v: verifies"
	is "$(saved "$v" | grep -c -- '-j CONNMARK --set-xmark 0x4800000/0x7f800000')" 2 \
		"$v: is what is stamped"
	h "$i4" -w -t security -F PEND-IN
	like "$(hook verify)" 'PEND_E_NOT_FOUND chain PEND-IN in the IPv4 table security has 0 rules' \
		"$v: emptied chain seen"
	is "$(hook repair)" PEND_OK "$v: repair"
	h "$i6" -w -t security -D INPUT -j PEND-IN
	like "$(hook verify)" 'the jump from INPUT to PEND-IN is missing in the IPv6 table security' \
		"$v: lost jump seen"
	is "$(hook repair)" PEND_OK "$v: repair"
	h "$i6" -w -t security -R PEND-PASS 1 -j MARK --set-xmark 0x1/0x1
	like "$(hook verify)" 'our IPv6 rules were changed' "$v: changed rule seen"
	is "$(hook repair)" PEND_OK "$v: repair"
	h "$i4" -w -t raw -D PREROUTING -j PEND-CLEAR
	h "$i4" -w -t raw -F PEND-CLEAR
	h "$i4" -w -t raw -X PEND-CLEAR
	like "$(hook verify)" 'chain PEND-CLEAR is missing' "$v: lost chain seen"
	is "$(hook repair)" PEND_OK "$v: repair"
	is "$(hook verify)" PEND_OK "$v: verify"
	is "$(hook release)" 0 "$v: no held packet was lost by all that"
	client_wait held
	is "$(ended held connected)" 3 "$v: they connect"

	# ---------------------------------------------------------- going

	h nft delete table inet watch
	is "$(hook remove)" PEND_OK "$v: remove"
	is "$(saved "$v")" "$before" "$v: the rules are as they were before"
	is "$(hook remove)" PEND_OK "$v: remove again"
	is "$(hook install)" PEND_OK "$v: install"
	hook_kill
	like "$(saved "$v")" 'PEND-IN' "$v: the rules stay after a kill: closed"

	# The next run has other hooks and another name beside it.
	is "$(echo install | h "$HOOKTOOL" kind=iptables iptables="$v" name=pend-in queue=30 | tr -d ' ')" \
		PEND_OK "$v: a second one with a similar name"
	hook_start kind=iptables iptables="$v" queue=20 count=4 open hooks=input loopback multicast
	is "$(hook install)" PEND_OK "$v: install over leftovers"
	is "$(hook verify)" PEND_OK "$v: verify"
	unlike "$(saved "$v")" 'PEND-FWD' "$v: chains that are not wanted are gone"
	unlike "$(saved "$v")" 'PEND-IN .*addrtype' "$v: settings are obeyed"
	like "$(saved "$v")" 'PEND-IN -j NFQUEUE --queue-balance 20:23 --queue-bypass' "$v: queues, open"
	is "$(hook remove)" PEND_OK "$v: remove"
	like "$(saved "$v")" 'PEND-IN-IN' "$v: the other one's rules are left alone"
	is "$(echo remove | h "$HOOKTOOL" kind=iptables iptables="$v" name=pend-in | tr -d ' ')" PEND_OK \
		"$v: remove that too"
	is "$(saved "$v")" "$before" "$v: the rules are as they were before"

	# ---------------------------------------------------------- text

	is "$(hook "print iptables" "$WORK/text")" PEND_OK "$v: print"
	check "$v: iptables-restore reads the text" h "$i4-restore" --noflush "$WORK/text"
	check "$v: ip6tables-restore too" h "$i6-restore" --noflush "$WORK/text"
	is "$(hook verify)" PEND_OK "$v: it is what would be installed"
	is "$(hook remove)" PEND_OK "$v: remove"
	is "$(saved "$v")" "$before" "$v: the rules are as they were before"
	hook_end
}

have_variant() { h "iptables-$1" -w -t security -S >/dev/null 2>&1; }
if have_variant nft; then test_variant nft; else skip "iptables-nft" "not here"; fi

# A kernel without the security table, as some distributions build them.
multi=$(readlink -f "$(command -v iptables-nft-save)")
cp "$multi" "$WORK/multi"
cat >"$WORK/poorer" <<-END
	#!/bin/bash
	case " \$* " in *" -t security "*) exit 1 ;; esac
	exec -a "\${0##*/}" "$WORK/multi" "\$@"
END
chmod 755 "$WORK"/{poorer,multi}
printf '#!/bin/sh\nmount --bind %s %s && exec "$@"\n' "$WORK/poorer" "$multi" >"$WORK/poor"
chmod 755 "$WORK/poor"
HOOK_WRAPPER="unshare -m $WORK/poor" hook_start kind=iptables iptables=nft
is "$(hook install)" PEND_OK "without a security table"
like "$(hook warning)" 'decided in "mangle", before the host.s own filter' "... the rules are in mangle, and a warning says what that means"
is "$(hook verify)$(hook remove)" PEND_OKPEND_OK "... verified and removed there"
hook_end

hook_start kind=iptables
is "$(hook install)" PEND_OK "the variant is detected"
like "$(h iptables -V)/$(hook describe)" '(nf_tables.*nft|legacy.*legacy)' "rightly"
is "$(hook warning)" "" "nothing to warn of"
if have_variant legacy; then
	h iptables-legacy -w -A INPUT -j ACCEPT
	is "$(hook verify)" PEND_OK "verify beside the other variant"
	case $(hook describe) in
	*nft) like "$(hook warning)" 'iptables-legacy are in use' "both in use: a warning" ;;
	esac
fi
is "$(hook remove)" PEND_OK "remove"
hook_end

if have_variant legacy; then test_variant legacy; else skip "iptables-legacy" "not here"; fi
like "$(echo install | h setpriv --bounding-set=-net_admin --inh-caps=-net_admin --reuid 65534 --clear-groups \
	"$HOOKTOOL" kind=iptables)" 'PEND_E_PERMISSION ' "without the right it fails"

hook_start kind=none
is "$(hook install)$(hook verify)$(hook epoch 3)$(hook repair)$(hook remove)" \
	PEND_OKPEND_OKPEND_OKPEND_OKPEND_OK "none: nothing to do"
is "$(hook describe)/$(hook fd)" none/-1 "none: described"
hook "print nft" "$WORK/text" >"$WORK/null"
like "$(cat "$WORK/text")" 'table inet pend' "none: still prints"
hook_end
finish
