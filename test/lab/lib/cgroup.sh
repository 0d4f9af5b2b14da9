# shellcheck shell=bash
# The control groups of a host: one group per hierarchy of the machine, the root of what the host sees.

# hierarchies: "<mount point> <v1 options or v2>" of every cgroup hierarchy of this machine, where the system has
# mounted it: CRIU mounts them too, for a while, in working folders
hierarchies() {
	awk '{ sep = 0; for (i = 7; i <= NF; i++) if ($i == "-") { sep = i; break }
		if ($5 !~ "^/sys/fs/cgroup") next
		if ($(sep + 1) == "cgroup2") print $5, "v2"
		else if ($(sep + 1) == "cgroup") {
			n = split($(sep + 3), options, ","); out = ""
			for (i = 1; i <= n; i++) if (options[i] !~ /^(rw|ro|xattr|clone_children|noprefix|none|release_agent=.*)$/) out = out "," options[i]
			print $5, substr(out, 2)
		} }' /proc/self/mountinfo | sort -u
}

# cgroup_mode: v1 or v2, what the hosts see; LAB_CGROUP chooses where the machine has both
cgroup_mode() {
	local -r wanted=${LAB_CGROUP:-}
	local has_v1
	has_v1=$(hierarchies | grep -cv -e ' v2$' -e ' name=' || true)
	case $wanted in
	v1) ((has_v1)) || fail "this machine has no cgroup v1 controllers" "unset LAB_CGROUP" ;;
	v2) hierarchies | grep -q ' v2$' || fail "this machine has no cgroup v2 hierarchy" "unset LAB_CGROUP" ;;
	'') ;;
	*) fail "LAB_CGROUP=$wanted is neither v1 nor v2" ;;
	esac
	if [[ -n $wanted ]]; then echo "$wanted"; elif ((has_v1)); then echo v1; else echo v2; fi
}

cgroup_name() { echo "pclive-lab-$NAME-$1"; }

# cgroup_make HOST: its groups, empty, with all processors and, in v2, all controllers handed down
cgroup_make() {
	local mount options group
	while read -r mount options; do
		group=$mount/$(cgroup_name "$1")
		[[ $options != v2 ]] || delegate "$mount"
		mkdir -p "$group"
		case $options in
		*cpuset*)
			cat "$mount/cpuset.cpus" >"$group/cpuset.cpus"
			cat "$mount/cpuset.mems" >"$group/cpuset.mems"
			echo 1 >"$group/cgroup.clone_children"
			;;
		esac
	done < <(hierarchies)
}

# delegate GROUP: its children may use its controllers. A controller that refuses (one that is bound to
# v1, or real-time processes in the way) stays out.
delegate() {
	local controller
	for controller in $(<"$1/cgroup.controllers"); do
		echo "+$controller" 2>/dev/null >"$1/cgroup.subtree_control" || true
	done
}

# cgroup_settle HOST: in v2 a group that hands controllers down holds no processes, so those that are there
# (they had to be, when the cgroup namespace was made) move to a leaf, "init".
cgroup_settle() {
	local mount options group pid
	while read -r mount options; do
		[[ $options == v2 ]] || continue
		group=$mount/$(cgroup_name "$1")
		mkdir -p "$group/init"
		for pid in $(<"$group/cgroup.procs"); do
			echo "$pid" 2>/dev/null >"$group/init/cgroup.procs" || true
		done
		delegate "$group"
	done < <(hierarchies)
}

# cgroup_enter HOST: put this shell in
cgroup_enter() {
	local mount options group
	while read -r mount options; do
		group=$mount/$(cgroup_name "$1")
		[[ ! -d $group/init ]] || group=$group/init
		echo "$BASHPID" >"$group/cgroup.procs"
	done < <(hierarchies)
}

# cgroup_kill HOST: kill all that is in its groups; true when nothing is left
cgroup_kill() {
	local mount options pid left=0
	# A frozen process takes no SIGKILL before it is thawed (v1).
	while read -r mount options; do
		[[ $options == *freezer* && -d $mount/$(cgroup_name "$1") ]] || continue
		find "$mount/$(cgroup_name "$1")" -depth -name freezer.state 2>/dev/null | while read -r state; do
			echo THAWED 2>/dev/null >"$state" || true
		done
	done < <(hierarchies)
	for pid in $(cgroup_pids "$1"); do
		left=1
		kill -KILL "$pid" 2>/dev/null || true
	done
	return $left
}

cgroup_pids() {
	local mount options
	while read -r mount options; do
		[[ -d $mount/$(cgroup_name "$1") ]] || continue
		find "$mount/$(cgroup_name "$1")" -name cgroup.procs -exec cat {} + 2>/dev/null
	done < <(hierarchies) | sort -un
}

# cgroup_remove HOST: take its groups away; false when one is still in use
cgroup_remove() {
	local mount options
	while read -r mount options; do
		[[ -d $mount/$(cgroup_name "$1") ]] || continue
		find "$mount/$(cgroup_name "$1")" -depth -type d -exec rmdir {} + 2>/dev/null
		[[ ! -d $mount/$(cgroup_name "$1") ]] || return 1
	done < <(hierarchies)
}
