# compose.awk - makes a script of its file: awk -f compose.awk prelude.lua FILE.lua epilogue.lua
# Two lines at the head of FILE name what it gets: "-- keys: a b" and "-- args: c d" become locals, behind the key
# `none`, which is the first of every script and never exists. A third, "-- full: refused", leaves out the write that
# lets a script work in a full Redis. Comment lines are left out.
FNR == 1 { file++ }
file == 2 && /^-- keys:/ { keys = "none" substr($0, 9); next }
file == 2 && /^-- args:/ { args = substr($0, 9); named = keys != ""; next }
file == 2 && /^-- full: refused$/ { refused = 1; next }
/^[ \t]*--/ { next }
{ text[file] = text[file] $0 "\n" }

function locals(names, from,    n, name, i) {
    n = split(names, name, " ")
    for (i = 1; i <= n; i++)
        printf "local %s = %s[%d]\n", name[i], from, i
}

END {
    if (file != 3 || !named) {
        print FILENAME ": a script begins with the lines '-- keys:' and '-- args:'" > "/dev/stderr"
        exit 1
    }
    if (refused && !sub(/call\('UNLINK', none\)\n/, "", text[1]))
        exit 1
    locals(keys, "KEYS")
    locals(args, "ARGV")
    printf "%s%s%s", text[1], text[2], text[3]
}
