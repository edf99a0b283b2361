# Sourced by the tests: a server in a folder of its own, for its warehouse and temporary checkpoints.
#
#   scratch  a folder that goes when the script ends, and the server with it
#   remote   where the server listens, set by `start_server MILLSTREAM [ARGUMENT …]`
scratch=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$scratch"' EXIT

start_server() {
  local millstream=$1
  shift
  (cd "$scratch" && exec "$millstream" server --port 0 --master 'local[2]' "$@" > server.out 2> server.err) &
  server=$!
  for _ in $(seq 100); do
    remote=$(sed -n 's/^listening on //p' "$scratch/server.out" 2>/dev/null || true)
    [ -n "$remote" ] && return
    sleep 0.1
  done
  cat "$scratch/server.err"
  echo "the server did not start" >&2
  return 1
}
