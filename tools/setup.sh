#!/bin/sh
# Gets the servers and programs that the demo and the tests run, saying what it does. What is there is left alone, so
# a second run does nothing. Usage: tools/setup.sh WHAT...
#
#   consul, consul-template   on PATH, or built once into the cache
#   redis, haproxy, chromium, cc, protoc, make   on PATH, or installed with the system's package manager
#   print-consul              prints the path of the Consul in use
#   clean-cache               removes the cache
#
# Everything it says goes to stderr. The exit code is 1 when something that is needed cannot be had.
set -u

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/consul-redis-sentinel/bin

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# one NAME...: is any of these programs there? Debian keeps haproxy in /usr/sbin, which is not on everyone's PATH.
one() {
	for name in "$@"; do
		PATH=$PATH:/usr/sbin:/usr/local/sbin have "$name" && return 0
	done
	return 1
}

# lock FILE: only one setup at a time touches the cache and the package manager. It is released at the exit.
lock() {
	have flock || return 0
	mkdir -p "$cache" || fail "cannot make $cache: set XDG_CACHE_HOME to a folder that can be written"
	exec 9>"$cache/.lock"
	flock -n 9 && return 0
	say "another setup is at work, waiting for it"
	flock 9
}

# show TOTAL NAME: turns the package names that "go build -v" prints into a line of progress now and then, and lets
# everything else (errors) through.
show() {
	awk -v total="$1" -v name="$2" '
		/^[A-Za-z0-9_.\/~-]+$/ { n++; if (n % 100 == 0) { printf "setup:   %s: %d of about %d packages\n", name, n, total; fflush() } next }
		{ print }' >&2
}

# build NAME PACKAGE MINUTES: builds a program from its module in tools/ into the cache.
build() {
	name=$1 package=$2 minutes=$3
	have "$name" && return 0
	[ -x "$cache/$name" ] && return 0
	have go || fail "$name is not on PATH, and building it needs Go: https://go.dev/dl"
	lock
	[ -x "$cache/$name" ] && return 0
	mkdir -p "$cache" || fail "cannot make $cache: set XDG_CACHE_HOME to a folder that can be written"
	say "$name is not on PATH: building it once into $cache (about $minutes on 2 cores)"
	new=$cache/.$name.$$
	trap 'rm -f "$new" "$new.failed"' EXIT
	say "  $name: fetching modules"
	total=$(go -C "$here/$name" list -deps "$package" | wc -l)
	{ go -C "$here/$name" build -v -trimpath -ldflags='-s -w' -o "$new" "$package" 2>&1 || : >"$new.failed"; } |
		show "$total" "$name"
	[ -x "$new" ] && [ ! -e "$new.failed" ] ||
		fail "cannot build $name: is the Go module proxy reachable ($(go env GOPROXY))? Or put $name on PATH."
	mv -f "$new" "$cache/$name"
	say "  $name: done"
}

# install WHAT APT DNF APK: installs a package under the name that the system's package manager has for it.
install() {
	what=$1
	if have apt-get; then
		package=$2 command="apt-get install -y --no-install-recommends $2"
	elif have dnf; then
		package=$3 command="dnf install -y $3"
	elif have apk; then
		package=$4 command="apk add $4"
	else
		fail "$what is not installed and none of apt-get, dnf and apk is here: install $what and put it on PATH"
	fi
	as=
	if [ "$(id -u)" != 0 ]; then
		have sudo || fail "$what is not installed and there is no sudo; as root: $command"
		as=sudo
		[ -t 0 ] || as="sudo -n"
	fi
	lock
	say "$what is not installed: ${as:+$as }$command"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if have apt-get; then
		install_apt >"$log" 2>&1
	else
		$as $command >"$log" 2>&1 </dev/null
	fi || { tail -n 5 "$log" >&2; fail "cannot install $what; by hand: $command"; }
	rm -f "$log"
}

# install_apt installs $package without letting its service start: the tests run servers of their own, and a Redis
# on port 6379 that nobody asked for is a nuisance. Debian's own switch for that is policy-rc.d.
install_apt() {
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d mine=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | $as tee $policy >/dev/null && $as chmod 755 $policy && mine=yes
	fi
	quiet="-qq -o DPkg::Lock::Timeout=600"
	$as apt-get $quiet install -y --no-install-recommends $package </dev/null ||
		{ $as apt-get $quiet update </dev/null &&
			$as apt-get $quiet install -y --no-install-recommends $package </dev/null; }
	result=$?
	[ -n "$mine" ] && $as rm -f $policy
	if [ -d /run/systemd/system ]; then # nor at the next boot
		for service in $package; do
			$as systemctl disable "$service" || true
		done
	fi
	return $result
}

for want in "$@"; do
	case $want in
	consul) build consul github.com/hashicorp/consul "5 minutes" ;;
	consul-template) build consul-template github.com/hashicorp/consul-template "1 minute" ;;
	redis) one redis-server valkey-server || install redis-server redis-server redis redis ;;
	haproxy) one haproxy || install haproxy haproxy haproxy haproxy ;;
	chromium) one chromium chromium-browser google-chrome google-chrome-stable ||
		install chromium chromium chromium chromium ;;
	cc) one "${CC:-cc}" gcc clang || install "a C compiler (Go's race detector needs one)" "gcc libc6-dev" gcc "gcc musl-dev" ;;
	make) one make || install make make make make ;;
	protoc) one protoc || install protoc protobuf-compiler protobuf-compiler protoc ;;
	print-consul)
		build consul github.com/hashicorp/consul "5 minutes"
		command -v consul || echo "$cache/consul"
		;;
	clean-cache)
		say "removing $cache"
		rm -rf "$cache"
		;;
	*) fail "unknown: $want" ;;
	esac
done
