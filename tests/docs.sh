#!/bin/bash
# docs.sh MANUAL... - what the documents say holds: manual pages are well-formed and name every option, targets and
# links exist, examples of configuration are accepted, and the README lists the Redis commands that are used.
set -u
rpopd=${RPOPD:-build/rpopd}
pages=(README.md systemd/README.md)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-docs.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0
wrong() {
    echo "docs: $*"
    bad=1
}

mandoc -T lint -W warning "$@" || wrong 'a manual page is not well-formed'

# names_options PROGRAM MANUAL - the manual names every option that the program's -h prints.
names_options() {
    "$1" -h | grep -oE -- '(^|[^a-z-])--?[-a-zA-Z]+' | grep -o -- '-.*' | sort -u >"$tmp/options"
    mandoc -T ascii "$2" | sed 's,.\x08,,g' >"$tmp/manual"
    [ -s "$tmp/options" ] || wrong "$1 -h names no option"
    while read -r o; do
        grep -qE -- "(^|[^a-z-])$o([^a-z-]|\$)" "$tmp/manual" || wrong "$2 does not name the option $o"
    done <"$tmp/options"
}
names_options "$rpopd" daemon/rpopd.8
names_options "${RPOPCTL:-build/rpopctl}" daemon/rpopctl.1

# ... and each thing that fsck finds.
for kind in $(sed -n 's/^    {"\([a-z-]*\)",.*/\1/p' daemon/admin_finding.c); do
    grep -qx ".It Cm $kind" daemon/rpopctl.1 || wrong "daemon/rpopctl.1 does not name the finding $kind"
done

# The manual of plugins names every function of the header, and the daemon has each of them.
header=worker/handler/rpopd_plugin.h
nm -D --defined-only "$rpopd" | awk '{ print $3 }' | sort -u >"$tmp/exported"
for f in $(grep -oE '\brpopd_[a-z_]+\(' $header | tr -d '(' | grep -vx rpopd_plugin | sort -u); do # less the page itself
    grep -qw "Fn $f" ${header%.h}.3 || wrong "${header%.h}.3 does not name $f"
    grep -qx "$f" "$tmp/exported" || wrong "$rpopd does not show $f to plugins"
done

make --no-print-directory -s help | awk '{ print $1 }' >"$tmp/targets"
for page in "${pages[@]}"; do
    for t in $(grep -oE '(^|`)make( -j[0-9]*)?( [a-z][a-z-]*)+' "$page" | sed -E 's/.?make( -j[0-9]*)?//' | tr ' ' '\n' | sort -u); do
        grep -qx "$t" "$tmp/targets" || wrong "$page: there is no target '$t'"
    done
    # shellcheck disable=SC2013 # paths without blanks
    for l in $(grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^[a-z]*:' | sort -u); do
        [ -e "$(dirname "$page")/$l" ] || wrong "$page: there is no $l"
    done
    # Every block of configuration is a file that the daemon accepts.
    awk -v to="$tmp/${page//\//_}" '
        /^```libconfig$/ { n++; inside = 1; next } /^```/ { inside = 0 } inside { print > (to "." n ".conf") }' "$page"
done
for c in "$tmp"/*.conf; do
    [ -e "$c" ] || { wrong 'no page has an example of a configuration'; break; }
    "$rpopd" -t -c "$c" >"$tmp/said" 2>&1 || { wrong 'an example of a configuration is refused:'; cat "$tmp/said" "$c"; }
done

# The commands of the scripts and of the daemon itself, against those that README grants to the user; SCAN, which fsck
# can do without, is named there apart.
{
    echo EVAL
    grep -ohE "call\('[A-Z]+'" daemon/lua/*.lua | cut -d"'" -f2
    grep -ohE 'redis_begin\([a-z]+, "[A-Z]+"' daemon/*.c | cut -d'"' -f2
    grep -ohE '\{"[A-Z]+", "' daemon/probe.c | cut -d'"' -f2 # what is tried because a table names it elsewhere
    sed -n 's/.*redis_begin_script.*/EVALSHA/p' daemon/*.c
} | tr '[:upper:]' '[:lower:]' | grep -vx -e auth -e scan | sort -u >"$tmp/used"
sed -n '/ACL SETUSER/,/^```/p' README.md | grep -o '+[a-z]*' | cut -c2- | sort -u >"$tmp/granted"
diff "$tmp/used" "$tmp/granted" >"$tmp/commands" ||
    { wrong 'README.md: commands of ACL SETUSER, < is used but not granted, > is granted but not used:'; cat "$tmp/commands"; }

# The page on the runtime: its first program compiles, and the calls it names for asyncio's are in the headers.
runtime=worker/runtime
sed -n '/^```c$/,/^```$/p' $runtime/README.md | sed '/^```/d' >"$tmp/first.c"
"${CC:-cc}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fsyntax-only "$tmp/first.c" ||
    wrong "$runtime/README.md: the first program does not compile"
for call in $(grep '^|' $runtime/README.md | cut -d'|' -f3 | grep -oE '`[a-z_]+`' | tr -d '`' | sort -u); do
    grep -qw -- "$call" $runtime/*.h || wrong "$runtime/README.md: no header has $call"
done

[ $bad != 0 ] || echo "docs: $# manual pages, ${#pages[@]} pages, $(wc -l <"$tmp/used") commands hold"
exit $bad
