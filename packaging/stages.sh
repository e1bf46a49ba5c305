# shellcheck shell=bash disable=SC2034
# What packaging/check counts its stages with. Sourced, not run.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

passed=0 failed=0 skipped=0
faults=() unsteady=() left_out=() # said again at the end: the output is long
stage_times=()

timed() { stage_times+=("$(printf '%5d s  %s' $((SECONDS - $2)) "$1")"); }

# stage TITLE COMMAND...: a step that counts as one test.
stage() {
  local begun=$SECONDS code=0
  step "$@" || code=$?
  timed "$1" "$begun"
  if [ "$code" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1)) faults+=("$1")
  fi
  return "$code"
}

# leave_out WHAT WHY
leave_out() { left_out+=("$1: $2"); }

# run_counted TITLE COMMAND...: in the open; what its last line counts is added to ours.
run_counted() {
  local title=$1 log code=0 begun=$SECONDS
  shift
  log=$logs/$(slug "$title").log
  echo "$title ..."
  "$@" 2>&1 </dev/null | tee "$log" | sed -u 's/^/  /' || code=$?
  count_last_line "$title" "$log" "$code"
  timed "$title" "$begun"
  echo "  $dim($((SECONDS - begun)) s)$plain"
}

# count_last_line TITLE LOG STATUS
count_last_line() {
  local line failed_here
  line=$(tail -n 1 "$2")
  if [[ ! $line =~ ^([0-9]+)\ (passed|killed),\ ([0-9]+)\ (failed|survived),\ ([0-9]+)\ (skipped|errors)$ ]]; then
    echo "  ${red}FAILED${plain} $1: ended without counting its tests"
    failed=$((failed + 1)) faults+=("$1: ended without counting its tests")
    return
  fi
  failed_here=${BASH_REMATCH[3]}
  passed=$((passed + BASH_REMATCH[1]))
  if [ "${BASH_REMATCH[6]}" = errors ]; then
    failed_here=$((failed_here + BASH_REMATCH[5]))
  else
    skipped=$((skipped + BASH_REMATCH[5]))
  fi
  failed=$((failed + failed_here))
  mapfile -t -O ${#faults[@]} faults < <(sed -nE 's/^(---|SURVIVED|ERROR) +//p' "$2")
  mapfile -t -O ${#unsteady[@]} unsteady < <(sed -nE 's/^unsteady: //p' "$2")
  mapfile -t -O ${#left_out[@]} left_out < <(sed -nE 's/^left out, /tests /p' "$2")
  if [ "$3" != 0 ] && [ "$failed_here" = 0 ]; then
    failed=$((failed + 1)) faults+=("$1: status $3")
  fi
}

# The end of the output: what to look at, and as the last line the count.
sum_up() {
  local line
  echo
  echo "time by stage:"
  for line in "${stage_times[@]}"; do echo "  $line"; done
  for line in "${left_out[@]}"; do echo "left out: $line"; done
  for line in "${unsteady[@]}"; do echo "unsteady, passed when it was run again: $line"; done
  for line in "${faults[@]}"; do echo "failed: $line"; done
  echo "total time $((SECONDS / 60)) min $((SECONDS % 60)) s"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
}
