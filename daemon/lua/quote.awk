# quote.awk - a text as C string literals, a line each
{
    gsub(/\\/, "\\\\\\\\")
    gsub(/"/, "\\\"")
    printf "     \"%s\\n\"\n", $0
}
