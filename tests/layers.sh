#!/bin/sh
# layers.sh [FOLDER] - the folder says which thread runs the code and what it may know. Fails on an include that looks
# up, and on a second door to a library. Generated headers (below build/gen) are included as "gen/...".
cd "${1:-.}" || exit 1
find common worker daemon -name '*.[chS]' | LC_ALL=C sort | xargs awk '
function wrong(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }

FNR == 1 {
    files++
    if (FILENAME ~ /^worker\/runtime\//) { layer = "worker/runtime/"; may = "^(common|worker/runtime)/" }
    else if (FILENAME ~ /^worker\//)     { layer = "worker/";         may = "^(common|worker)/" }
    else if (FILENAME ~ /^daemon\//)     { layer = "daemon/";         may = "^(common/|daemon/|gen/|worker/worker\\.h$|worker/handler/handler\\.h$)" }
    else                                 { layer = "common/";         may = "^common/" }
    coro = FILENAME ~ /^worker\/runtime\/coro/
}

# Doors: a library, and the only files that may open it.
function door(header, files) { if ($0 ~ header && FILENAME !~ files) wrong($0 ": only " files " may") }

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    if (part[2] !~ may) wrong("\"" part[2] "\" is not for " layer)
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    door("<hiredis/|<hiredis\\.h>", "^daemon/redis")
    door("<libconfig\\.h>", "^common/conf")
    door("<ucontext\\.h>", "^worker/runtime/")
    door("<jansson\\.h>", "^(daemon/|worker/handler/pool_frame\\.c)")
    door("<systemd/", "^(common/log|daemon/)")
    door("<curl/", "^worker/handler/http_")
    door("<openssl/", "^worker/handler/http_")
    door("<ev\\.h>", "^(worker/runtime|daemon)/")
    door("<sanitizer/|<valgrind/", "^(worker/runtime|common)/")
}
!coro && /(swapcontext|makecontext|__sanitizer_(start|finish)_switch_fiber|__tsan_switch_to_fiber)[ \t]*\(/ {
    wrong("stacks are switched in worker/runtime/coro* alone")
}
/ev_default_loop|EV_DEFAULT|ev_signal_start[ \t]*\(EV_DEFAULT/ { wrong("the default loop reaps every child of the process") }
FILENAME ~ /\.S$/ && !coro && FNR == 1 { wrong("assembly belongs to worker/runtime/coro*") }

END { if (!files) bad = 1; if (!bad) printf "layers: %d files hold\n", files; exit bad }
'
