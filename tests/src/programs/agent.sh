# An agent in a shell, whose standard input is the connection: greets, asks, and asks again for each line of FIFO.
#
#     bash agent.sh SCOPE [FIFO]
ask() {
    printf '%s %s HTTP/1.1\r\nhost: agentauthd\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' \
        "$1" "$2" "${nonce:+agentauthd-nonce: $nonce$'\r\n'}" "${#3}" "$3" >&0 || { echo '{"io_error": "cannot write"}'; exit; }
    local line length=0
    while IFS= read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
        case $line in [Cc]ontent-[Ll]ength:*) length=${line#*: } ;; esac
    done
    [ "$length" -gt 0 ] || { echo '{"io_error": "the end of the connection"}'; exit; }
    IFS= read -r -N "$length" answer
}
ask GET /v1/hello ''
nonce=${answer#*\"nonce\":\"}
nonce=${nonce%%\"*}
ask POST /v1/check "{\"scope\":\"$1\"}"
printf '%s\n' "$answer"
[ -z "$2" ] || while IFS= read -r _ <"$2"; do
    ask POST /v1/check "{\"scope\":\"$1\"}"
    printf '%s\n' "$answer"
done
