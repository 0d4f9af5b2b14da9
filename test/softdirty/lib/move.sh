# shellcheck shell=bash disable=SC2153
# A guest moves into a second qemu process, by QEMU's own live migration. Whoever tells QEMU to (over the sockets that
# this prints) says here how far it is.

# receive_guest HOST: prints "QMP-OF-THE-GUEST QMP-OF-THE-RECEIVER URI-TO-MIGRATE-TO", then reads words. When they end
# without "keep" all is as it was before.
receive_guest() {
	local host=$1 new=$1-in word
	[[ -e $STATE/$host.qcow2 ]] && guest_pid "$host" >/dev/null || fail "guest $host is none that moves" "GUEST_MOVES=1 test/softdirty/guests up"
	# shellcheck disable=SC2064 # the host of now
	trap "drop_receiver $host" EXIT
	tap_add "$new" "$(free_tap "$host")"
	qemu_start "$new" -incoming "unix:$STATE/$new.migration"
	echo "$STATE/$host.qmp $STATE/$new.qmp unix:$STATE/$new.migration"
	while read -r word; do
		case $word in
		# The guest has stopped here. QEMU will announce the address of its network card only, and behind that is a
		# bridge with more of them: the switch is told at once, as who manages virtual machines does.
		plug) replug "$(guest_tap "$host")" "$(guest_tap "$new")" ;;
		keep)
			trap - EXIT
			keep_receiver "$host"
			return
			;;
		*) fail "receive: no word $word" "plug, keep" ;;
		esac
	done
}

# free_tap HOST: a guest that has moved keeps its tap, so the two names take turns
free_tap() { if [[ $(guest_tap "$1") == "tap-$1" ]]; then echo "tap-$1-in"; else echo "tap-$1"; fi; }

# replug FROM TO: one cable out of the switch, the other in
replug() { printf 'link set %s nomaster\nlink set %s master br0\n' "$1" "$2" | ip -n "$(switch_name)" -batch -; }

# keep_receiver HOST: the guest runs in the second process, which from now on is the first
keep_receiver() {
	local host=$1 part
	guest_pid "$host-in" >/dev/null || fail "guest $host has moved, and has then ended" "see $STATE/logs/$host.console.log"
	guest_stop "$host"
	ip -n "$(switch_name)" link del "$(guest_tap "$host")"
	for part in pid qmp tap; do
		mv "$STATE/$host-in.$part" "$STATE/$host.$part"
	done
}

# drop_receiver HOST: the guest runs where it ran
drop_receiver() {
	guest_stop "$1-in"
	replug "$(guest_tap "$1-in")" "$(guest_tap "$1")"
	ip -n "$(switch_name)" link del "$(guest_tap "$1-in")"
	rm -f "$STATE/$1-in".{qmp,tap,migration}
}
