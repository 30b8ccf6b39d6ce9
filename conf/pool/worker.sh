#!/bin/sh
# A child of an rpopd pool, see rpopd.conf(5): one job after the other until the end of file.

work() { # yours: the payload on standard input, the result on standard output
    tr '[:lower:]' '[:upper:]'
}

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

while IFS= read -r line; do
    id=${line#*\"id\":\"} id=${id%%\"*}
    len=${line##*\"len\":} len=${len%\}}
    head -c "$len" >"$folder/payload"
    if work <"$folder/payload" >"$folder/result"; then
        printf '{"id":"%s","status":"done","len":%d}\n' "$id" "$(wc -c <"$folder/result")"
        cat "$folder/result"
    else
        printf '{"id":"%s","status":"retry","error":"exit status %d"}\n' "$id" $?
    fi
done
