# shellcheck shell=bash disable=SC2153
# The network: each host has a bridge br0 that holds its address and its eth0; the eth0 meet in a switch,
# a bridge in a network namespace of its own. So an address of a container can move between hosts at layer 2.

switch_name() { echo "pclive-lab-$NAME"; }

switch_make() {
	local switch
	switch=$(switch_name)
	ip netns add "$switch"
	ip -n "$switch" link add br0 type bridge
	ip -n "$switch" link set br0 up
}

switch_remove() { ! ip netns list | grep -qw "$(switch_name)" || ip netns del "$(switch_name)"; }

# connect_host HOST: plug it in. The bridge's own MAC is fixed, or it would change with every container.
connect_host() {
	local host=$1 pid switch number
	pid=$(host_pid "$host")
	switch=$(switch_name)
	number=$(host_address "$host")
	number=${number##*.}
	ip -n "$switch" link add "port-$host" type veth peer name eth0 netns "$pid"
	ip -n "$switch" link set "port-$host" master br0 up
	nsenter --target "$pid" --net ip -batch - <<-BATCH
		link add br0 address 02:00:00:00:00:$(printf '%02x' "$number") type bridge
		link set eth0 master br0 up
		link set br0 up
		addr add $(host_address "$host")/16 dev br0
	BATCH
}

# shape RATE: Mbit/s of what each container host sends, or off. Burst: 2 MB at 10 Gbit/s, 256 kB at 1 Gbit/s;
# a queue of at most 10 ms, which is what a network card holds rather than what a router buffers.
shape() {
	local rate=$1 host pid burst
	[[ $rate == off || $rate =~ ^[1-9][0-9]{0,5}$ ]] || fail "shape: $rate is not a rate in Mbit/s (1 to 999999) or off"
	for host in $HOSTS; do
		runs_containers "$host" || continue
		pid=$(host_pid "$host") || fail "host $host is not running"
		nsenter --target "$pid" --net tc qdisc del dev eth0 root 2>/dev/null || true
		[[ $rate != off ]] || continue
		burst=$((rate * 210 > 262144 ? rate * 210 : 262144))
		nsenter --target "$pid" --net tc qdisc add dev eth0 root tbf rate "${rate}mbit" burst "$burst" latency 10ms
	done
	echo "$rate" >"$STATE/shape"
}

# cut [FROM TO]: frames from one host to the other are lost in the switch; without hosts, a–b both ways.
# Neither end is told, as with a cable that breaks further away.
cut_link() {
	local from=${1:-} to=${2:-}
	if [[ -z $from ]]; then
		cut_link a b
		cut_link b a
		return
	fi
	check_host "$from"
	check_host "${to:-none}"
	ip netns exec "$(switch_name)" nft -f - <<-RULES
		add table bridge cut
		add chain bridge cut forward { type filter hook forward priority 0; }
		add rule bridge cut forward iifname "port-$from" oifname "port-$to" drop
	RULES
	echo "$from $to" >>"$STATE/cut"
}

heal_link() {
	ip netns exec "$(switch_name)" nft delete table bridge cut 2>/dev/null || true
	rm -f "$STATE/cut"
}

# container_netns HOST NAME IP [MAC]: a network namespace with eth0 on br0, as CNI would make it. The MAC
# follows from the address unless given: the same address has the same MAC on every host.
container_netns() {
	local host=$1 name=$2 address=$3 mac=${4:-} pid link
	[[ $name =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] || fail "netns: $name is not a name of letters, digits and -"
	[[ $address =~ ^10\.10\.[0-9]{1,3}\.[0-9]{1,3}$ ]] || fail "netns: $address is not in 10.10.0.0/16"
	# shellcheck disable=SC2086 # four numbers
	[[ -n $mac ]] || mac=$(printf '02:00:%02x:%02x:%02x:%02x' ${address//./ })
	pid=$(host_pid "$host")
	link=v$(printf '%s' "$name" | sha256sum | cut -c1-10)
	in_host "$host" sh -ec "
		ip netns add $name
		ip link add $link type veth peer name eth0 address $mac netns $name
		ip link set $link master br0 up
		ip -n $name link set lo up
		ip -n $name addr add $address/16 dev eth0
		ip -n $name link set eth0 up"
}
