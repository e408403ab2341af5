# shellcheck shell=bash disable=SC2034,SC2154,SC2207 # what all.sh sets and takes; words
# lib.sh: one measurement, for all.sh. Two network namespaces of our own, joined by a veth pair,
# are the two machines: A holds the source and serves it, B pulls it. Both ends stand in one
# memory file system, so no disk is measured; rsync does not fsync, Acequia's waits cost
# nothing there. What is on the wire are the veth's own counters, headers and all, both
# directions; CPU seconds and peak memory come from wait4, for each end by itself.
#
# tools: acequia (TLS, token), acequia-plain, rsync (its daemon), rsync-ssh (AES-128-GCM); all
# pull what A serves and delete what A does not have.

host_a=acequia-a-$$ host_b=acequia-b-$$
address_a=10.88.0.1 address_b=10.88.0.2 port=8730
work='' server='' client=()

fail() {
    echo "bench: $*" >&2
    exit 1
}

say() {
    echo "bench: $*" >&2
}

# ---- the two machines

hosts_open() { # hosts_open DIR: makes a working directory below DIR and both namespaces
    trap hosts_close EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d "$1/acequia-bench.XXXXXX") || exit 1
    if ! ip netns add "$host_a" || ! ip netns add "$host_b"; then
        fail 'network namespaces cannot be made'
    fi
    ip link add veth netns "$host_a" type veth peer name veth netns "$host_b"
    ip -n "$host_a" addr add "$address_a/24" dev veth
    ip -n "$host_b" addr add "$address_b/24" dev veth
    local host
    for host in "$host_a" "$host_b"; do
        ip -n "$host" link set lo up
        ip -n "$host" link set veth up
        # Whatever the machine prefers: BBR's pacing costs much CPU on a link without delay.
        nsenter --net="/run/netns/$host" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null
    done
    ssh-keygen -q -t ed25519 -N '' -f "$work/host-key"
    ssh-keygen -q -t ed25519 -N '' -f "$work/user-key"
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/token")
}

hosts_close() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    [ -n "$work" ] && rm -rf "$work"
    ip netns del "$host_a" 2>/dev/null
    ip netns del "$host_b" 2>/dev/null
}

link_limit() { # link_limit RATE|none: how fast A may send
    if [ "$1" = none ]; then
        nsenter --net="/run/netns/$host_a" tc qdisc del dev veth root
    else
        nsenter --net="/run/netns/$host_a" tc qdisc add dev veth root tbf rate "$1" burst 512k \
            latency 50ms
    fi
}

wire() { # prints the bytes that A sent and those that it received
    nsenter --net="/run/netns/$host_a" sed -n 's/^ *veth://p' /proc/net/dev |
        awk '{ print $9, $1 }'
}

# ---- the tools

# state_forget: both ends of Acequia know nothing of any folder (rsync never does).
state_forget() {
    rm -rf "$work/state-a" "$work/state-b"
    mkdir "$work/state-a" "$work/state-b"
}

acequia_at() { # acequia_at a|b: how to run it at this end
    echo env XDG_STATE_HOME="$work/state-$1" XDG_CONFIG_HOME="$work/config" "$acequia"
}

server_wait() { # server_wait COMMAND…: until it succeeds
    local i
    for ((i = 0; i < 500; i++)); do
        "$@" && return
        sleep 0.02
    done
    cat "$work/server.err" >&2
    fail 'the server does not start'
}

server_listens() {
    nsenter --net="/run/netns/$host_a" ss -Hltn "sport = :$port" | grep -q .
}

server_run() { # server_run COMMAND…: in A, under the meter
    : >"$work/server.out" # here, not when the background gets to it: the last one's URL is in it
    "$build/bench-meter" -n "$host_a" -o "$work/server.cost" "$@" >>"$work/server.out" \
        2>"$work/server.err" &
    server=$!
}

# tool_start TOOL SRC DST: serves SRC; leaves in client what pulls it into DST.
tool_start() {
    local plain=() ssh
    case $1 in
    acequia*)
        [ "$1" = acequia-plain ] && plain=(--plain --force-plain)
        # shellcheck disable=SC2046 # words
        server_run $(acequia_at a) serve --json --listen "$address_a:$port" "${plain[@]}" \
            --token-file "$work/token" "$2"
        server_wait grep -q listening "$work/server.out"
        # shellcheck disable=SC2046
        client=($(acequia_at b) sync --json --delete --token-file "$work/token"
            "$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/server.out")" "$3")
        ;;
    rsync)
        cat >"$work/rsyncd.conf" <<-END
			address = $address_a
			port = $port
			use chroot = no
			uid = root
			gid = root
			reverse lookup = no
			[bench]
			path = $2
		END
        server_run rsync --daemon --no-detach --config="$work/rsyncd.conf"
        server_wait server_listens
        client=(rsync -a --delete --stats "rsync://$address_a:$port/bench/" "$3/")
        ;;
    rsync-ssh)
        cat >"$work/sshd.conf" <<-END
			Port $port
			ListenAddress $address_a
			HostKey $work/host-key
			AuthorizedKeysFile $work/user-key.pub
			StrictModes no
			PermitRootLogin yes
			PasswordAuthentication no
			UsePAM no
			PidFile none
		END
        mkdir -p /run/sshd
        server_run /usr/sbin/sshd -D -e -f "$work/sshd.conf"
        server_wait server_listens
        ssh="ssh -F /dev/null -c aes128-gcm@openssh.com -p $port -i $work/user-key"
        ssh="$ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        client=(rsync -a --delete --stats -e "$ssh" "root@$address_a:$2/" "$3/")
        ;;
    esac
}

tool_stop() {
    sleep 0.2 # until it has waited for its own children
    kill "$server"
    wait "$server"
    server=
}

# ---- measuring

digest() { # digest DIR
    "$build/bench-gen" digest "$1"
}

# above_tls: what the client says it sent and received, without TLS, TCP and IP.
above_tls() {
    sed -n -e 's/.*"event":"done".*"bytes_sent":\([0-9]*\),"bytes_received":\([0-9]*\).*/\1 \2/p' \
        -e '/^Total bytes \(sent\|received\)/s/[^0-9]//gp' "$work/client.out" |
        awk '{ sum += $1 + $2 } END { printf "%.0f\n", sum }'
}

# pull TOOL SRC DST: the same without measuring, to get something synced.
pull() {
    tool_start "$@"
    nsenter --net="/run/netns/$host_b" "${client[@]}" >"$work/client.out" 2>"$work/client.err" ||
        fail "$1: $(tail -n 3 "$work/client.err" "$work/client.out")"
    tool_stop
}

# measure ROW TOOL RUN SRC DST [BASE]: pulls SRC into DST and adds a line to $results: row, tool,
# run, wall seconds, CPU seconds of A and B, bytes from A and to A, peak KiB of A and B, bytes
# above TLS, BASE (bytes that cannot be avoided), verdict. $want is SRC's digest; empty:
# not compared.
measure() {
    local down up down_end up_end
    tool_start "$2" "$4" "$5"
    read -r down up < <(wire)
    "$build/bench-meter" -n "$host_b" -o "$work/client.cost" "${client[@]}" \
        >"$work/client.out" 2>"$work/client.err"
    read -r down_end up_end < <(wire)
    tool_stop
    record "$1" "$2" "$3" $((down_end - down)) $((up_end - up)) "$5" "${6:-0}"
}

# record ROW TOOL RUN DOWN UP DST BASE: the line, from the meters' files.
record() {
    local wall cpu_a cpu_b rss_a rss_b code verdict=equal
    read -r _ cpu_a rss_a _ <"$work/server.cost"
    read -r wall cpu_b rss_b code <"$work/client.cost"
    if [ "$code" -ne 0 ]; then
        verdict="exit-$code"
        tail -n 3 "$work/client.err" "$work/client.out" >&2
    elif [ -z "$want" ]; then
        verdict=-
    elif [ "$(digest "$6")" != "$want" ]; then
        verdict=DIFFERENT
    fi
    printf '%s\t' "$1" "$2" "$3" "$wall" "$cpu_a" "$cpu_b" "$4" "$5" "$rss_a" "$rss_b" \
        "$(above_tls)" "$7" >>"$results"
    echo "$verdict" >>"$results"
    say "$(tail -n 1 "$results" | tr '\t' ' ')"
}
