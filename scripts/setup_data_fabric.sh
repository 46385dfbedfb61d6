#!/usr/bin/env bash
# Install DSMIL Fabric on this host, or remove it. Each step is shown before it is done; a second run does nothing.
set -euo pipefail

usage() {
  cat <<'TEXT'
scripts/setup_data_fabric.sh [--dry-run] [--fix-redis] [--root DIR]
scripts/setup_data_fabric.sh --uninstall [--dry-run] [--root DIR]

  --dry-run    show what would be done and do nothing; needs no root
  --fix-redis  change the broker's settings where events could be lost, live and in the safe order
  --uninstall  remove units, program, tmpfs and account; /var/lib/dsmil and /etc/dsmil stay
  --root DIR   do everything under DIR; what only a running system can do is left out and said

REDIS_URL, or REDIS_HOST and REDIS_PORT, name the broker to look at; PYTHON names the interpreter.
TEXT
}

readonly account=dsmil prefix=/opt/dsmil state=/var/lib/dsmil config=/etc/dsmil ram=/mnt/dsmil-ram
readonly units=/etc/systemd/system manifest=.installed-files mark='# DSMIL Fabric: memory of the hot store'
readonly examples=(ingest.env.example listen.env.example)
dry=false remove=false fix=false root='' changes=0 warnings=0 python='' uid='' gid=''
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

step() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '    WARNING: %s\n' "$*"; warnings=$((warnings + 1)); }
fail() { printf 'setup_data_fabric: %s\n' "$*" >&2; exit 1; }

# Show a command, count it as a change, and run it unless this is a dry run.
run() {
  changes=$((changes + 1))
  printf '    + %s\n' "${*//$'\n'/ }"
  $dry || "$@"
}

can_systemctl() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
field() { awk -F: -v name="$account" -v n="$2" '$1 == name {print $n; exit}' "$root/etc/$1" 2>/dev/null || true; }

check_python() {
  step "Python 3.11 or later with venv"
  local candidate real
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if command -v "$candidate" >/dev/null \
      && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$(command -v "$candidate")
      break
    fi
  done
  [ -n "$python" ] || fail "no Python >= 3.11 with venv; install it (Debian: apt install python3 python3-venv;" \
    "Fedora: dnf install python3), or set PYTHON=/path/to/python3"
  real=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
  note "$real"
  case $real in
    /root/* | /home/* | /run/user/*)
      warn "the units cannot see $real (ProtectHome); set PYTHON to one outside home directories" ;;
  esac
}

check_broker_program() {
  step "Redis or Valkey server, 7.0 or later"
  local name version
  for name in valkey-server redis-server; do
    if command -v "$name" >/dev/null; then
      version=$("$name" --version | sed -n 's/.*v=\([0-9.]*\).*/\1/p')
      note "$(command -v "$name") ${version:-of unknown version}"
      [ "${version%%.*}" -ge 7 ] 2>/dev/null || fail "$name must be at least 7.0"
      return
    fi
  done
  if [ -n "${REDIS_URL:-}${REDIS_HOST:-}${REDIS_PORT:-}" ]; then
    note "none on this host; the environment names one"
  elif $dry || [ -n "$root" ]; then
    warn "none found; install one (Debian: apt install redis-server; Fedora: dnf install valkey)"
  else
    fail "no valkey-server or redis-server; install one (Debian: apt install redis-server; Fedora: dnf install" \
      "valkey), or set REDIS_URL to one on another host"
  fi
}

make_account() {
  step "user and group $account"
  local -a where=()
  if [ -n "$root" ]; then
    if [ ! -f "$root/etc/passwd" ]; then
      note "left out: there is no $root/etc/passwd; files belong to root"
      uid=0 gid=0
      return
    fi
    where=(--prefix "$root")
  fi
  [ -n "$(field group 3)" ] || run groupadd "${where[@]}" --system $account
  [ -n "$(field passwd 3)" ] \
    || run useradd "${where[@]}" --system --gid $account --home-dir $prefix --no-create-home --shell /bin/false $account
  uid=$(field passwd 3) gid=$(field group 3)
  if $dry; then uid=${uid:-$account} gid=${gid:-$account}; fi
  [ -n "$uid" ] && [ -n "$gid" ] || fail "$account is in no local file; a directory service must not own this account"
}

# directory MODE OWNER GROUP PATH
directory() {
  local path=$root$4
  if [ ! -d "$path" ]; then
    run install -d -m "$1" -o "$2" -g "$3" "$path"
  elif [ "$(stat -c '%a %u %g' "$path")" != "${1#0} $2 $3" ]; then
    # Data of an earlier installation may belong to an account number that is gone.
    if [ "$(stat -c '%u %g' "$path")" != "$2 $3" ]; then run chown -R -h "$2:$3" "$path"; fi
    run chmod "$1" "$path"
  fi
}

make_directories() {
  step "directories"
  directory 0755 0 0 $prefix
  directory 0750 "$uid" "$gid" $state
  directory 0750 0 "$gid" $config
}

tracked_files() {
  if git -c safe.directory='*' -C "$source_dir" rev-parse --git-dir >/dev/null 2>&1; then
    git -c safe.directory='*' -C "$source_dir" ls-files -z
  else  # an unpacked archive: everything but what running it leaves
    (cd "$source_dir" && find . \( -name .venv -o -name __pycache__ -o -name '.*_cache' -o -name $manifest \) -prune \
      -o \( -type f -o -type l \) -printf '%P\0')
  fi | (cd "$source_dir" && while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done) \
    | LC_ALL=C sort -z
}

# Checksum and path of each file of the program.
listing() { (cd "$source_dir" && tracked_files | xargs -0 sha256sum); }

copy_program() {
  step "the program in $prefix"
  local target=$root$prefix
  if [ "$source_dir" = "$(cd "$target" 2>/dev/null && pwd -P)" ]; then
    note "this is it"
  elif [ "$(listing)" != "$(cat "$target/$manifest" 2>/dev/null || true)" ] \
    || ! (cd "$target" && sha256sum --check --status $manifest); then
    run copy_files "$source_dir" "$target"
    note "services that run go on with the old program until: systemctl restart dsmil.target"
  fi
  local before after
  before=$(stat -c %Y "$target/.venv/.dsmil-setup" 2>/dev/null || true)
  if [ ! -e "$target/scripts/setup" ]; then
    note "+ $target/scripts/setup"
    return
  fi
  note "$target/scripts/setup (does nothing when up to date)"
  $dry && return
  (umask 022 && PYTHON=$python "$target/scripts/setup")
  after=$(stat -c %Y "$target/.venv/.dsmil-setup")
  [ "$before" = "$after" ] || changes=$((changes + 1))
  if [ -z "$root" ] && ! setpriv --reuid "$uid" --regid "$gid" --clear-groups "$target/.venv/bin/dsmil" --version >/dev/null; then
    warn "$account cannot run $prefix/.venv/bin/dsmil; is the Python in a place that only root may read?"
  fi
}

copy_files() {
  local target=$2
  [ ! -e "$target/$manifest" ] || remove_files "$target" <(listing | cut -c67-)
  (cd "$1" && tracked_files | tar --create --null --files-from - --owner 0 --group 0 --mode u=rwX,go=rX) \
    | tar --extract --directory "$target" --same-permissions --same-owner
  listing >"$target/$manifest"
}

# remove_files TARGET KEEP: delete the installed files that are not listed in the file KEEP.
remove_files() {
  local file
  cut -c67- "$1/$manifest" | LC_ALL=C sort | LC_ALL=C comm -23 - <(LC_ALL=C sort "$2") | while IFS= read -r file; do
    rm -f -- "$1/$file"
  done
}

write_environment() {
  step "environment files of the services"
  local file=$root$config/dsmil.env former=$root$config/soc-router.env
  if [ -e "$file" ]; then
    note "$file is there and stays as it is"
  elif [ -e "$former" ] && [ "$(stat -c %a "$former")" != 600 ]; then
    # It held the settings of all units; now it would be those of the router alone.
    run mv "$former" "$file"
  else
    run install -m 0640 -o 0 -g "$gid" "$source_dir/systemd/dsmil.env" "$file"
  fi
  for example in "${examples[@]}"; do
    cmp -s "$source_dir/systemd/$example" "$root$config/$example" \
      || run install -m 0644 -o 0 -g "$gid" "$source_dir/systemd/$example" "$root$config/$example"
  done
}

make_tmpfs() {
  step "tmpfs of the hot store at $ram"
  local options="size=4G,mode=0770,uid=$uid,gid=$gid,nosuid,nodev,noexec" fstab=$root/etc/fstab found
  [ -d "$root$ram" ] || run install -d -m 0770 -o "$uid" -g "$gid" "$root$ram"
  found=$(awk -v ram=$ram '$1 !~ /^#/ && $2 == ram' "$fstab" 2>/dev/null || true)
  if [ -z "$found" ]; then
    run add_line "$fstab" "tmpfs $ram tmpfs $options 0 0"
  elif [[ $found != *uid=* ]]; then
    warn "the entry in fstab names no owner, so that $account cannot write after a reboot; better: tmpfs $ram tmpfs $options 0 0"
  fi
  if [ -n "$root" ]; then
    note "left out: mounting, because of --root"
  elif ! mountpoint -q $ram; then
    run mount -t tmpfs -o "$options" tmpfs $ram
  elif [ "$(stat -c '%u %g %a' $ram)" != "$uid $gid 770" ]; then
    run chown "$uid:$gid" $ram
    run chmod 0770 $ram
  fi
}

add_line() {
  [ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ] || printf '\n' >>"$1"
  printf '%s\n%s\n' "$mark" "$2" >>"$1"
}

look_at_broker() {
  step "settings of the broker"
  local interpreter=$root$prefix/.venv/bin/python code=0
  # Where units have users of their own, only the admin may ask.
  local -a options=(--env-file "$root$config/dsmil.env" --env-file "$root$config/admin.env")
  if [ ! -x "$interpreter" ]; then
    note "is looked at once the program is installed"
    return
  fi
  if $fix && ! $dry; then options+=(--fix); fi
  "$interpreter" -B "$root$prefix/scripts/broker_settings.py" "${options[@]}" || code=$?
  case $code in
    0) ;;
    3) warnings=$((warnings + 1)) ;;
    4) changes=$((changes + 1)) ;;
    5) changes=$((changes + 1)) warnings=$((warnings + 1)) ;;
    69) warn "start the broker, then run this script again to have its settings checked" ;;
    *) fail "looking at the broker ended with code $code" ;;
  esac
}

# The router has the documented unit, every other service one of its own.
enabled_units() {
  printf 'dsmil.target\ndsmil-soc-router.service\n'
  "$root$prefix/.venv/bin/dsmil" run --list 2>/dev/null | sed -n '/^soc-router$/d; s/.*/dsmil@&.service/p'
}

install_units() {
  step "systemd units"
  local unit name fresh=false
  [ -d "$root$units" ] || run install -d -m 0755 "$root$units"
  for unit in "$source_dir"/systemd/*.{service,target}; do
    if ! cmp -s "$unit" "$root$units/${unit##*/}"; then
      run install -m 0644 "$unit" "$root$units/${unit##*/}"
      fresh=true
    fi
  done
  if [ -n "$root" ]; then
    note "left out: systemctl, because of --root"
  elif ! can_systemctl; then
    note "systemd does not run here; where it does: systemctl daemon-reload, then systemctl enable" $(enabled_units)
  else
    ! $fresh || run systemctl daemon-reload
    for name in $(enabled_units); do
      systemctl --quiet is-enabled "$name" 2>/dev/null || run systemctl enable "$name"
    done
    note "start everything with: systemctl start dsmil.target"
    note "follow a log: cp $config/ingest.env.example $config/ingest-eve.env, edit it, systemctl enable --now dsmil-ingest@eve"
    note "take in syslog or pushes: cp $config/listen.env.example $config/listen-NAME.env, edit it, systemctl enable --now dsmil-listen@NAME"
  fi
}

uninstall() {
  local unit name fresh=false target=$root$prefix fstab=$root/etc/fstab
  step "systemd units"
  for unit in "$source_dir"/systemd/*.{service,target}; do
    name=${unit##*/}
    [ -e "$root$units/$name" ] || continue
    if can_systemctl; then
      run systemctl disable --quiet "$name"
      run systemctl stop "${name/@./@*.}"
    fi
    run rm -f "$root$units/$name"
    fresh=true
  done
  if can_systemctl && $fresh; then run systemctl daemon-reload; fi

  for example in "${examples[@]}"; do
    if cmp -s "$source_dir/systemd/$example" "$root$config/$example"; then run rm -f "$root$config/$example"; fi
  done

  step "tmpfs of the hot store"
  if [ -z "$root" ] && mountpoint -q $ram; then run umount $ram; fi
  if [ -n "$(awk -v ram=$ram '$1 !~ /^#/ && $2 == ram' "$fstab" 2>/dev/null || true)" ]; then
    run remove_line "$fstab"
  fi
  [ ! -d "$root$ram" ] || mountpoint -q "$root$ram" || run rmdir --ignore-fail-on-non-empty "$root$ram"

  step "the program in $prefix"
  if [ -e "$target/$manifest" ]; then
    run remove_program "$target"
  elif [ -d "$target" ]; then
    note "stays: it was not installed by this script"
  fi

  step "user and group $account"
  uid=$(field passwd 3)
  if [ -n "$uid" ]; then
    if [ -z "$root" ] && pgrep -u "$uid" >/dev/null; then
      warn "$account stays: processes of it still run"
    else
      # A later account could be given this number, and with it the data.
      for name in $state $config; do
        [ ! -d "$root$name" ] || run chown -R -h 0:0 "$root$name"
      done
      if [ -n "$root" ]; then run userdel --prefix "$root" $account; else run userdel $account; fi
      [ -z "$(field group 3)" ] || $dry || run groupdel ${root:+--prefix "$root"} $account
    fi
  fi
  step "kept: $root$state, $root$config, and the data in the broker"
}

remove_line() {
  local fresh
  fresh=$(mktemp "$1.XXXXXX")
  awk -v ram=$ram -v mark="$mark" '$0 != mark && ($1 ~ /^#/ || $2 != ram)' "$1" >"$fresh"
  chmod --reference="$1" "$fresh"
  mv "$fresh" "$1"
}

remove_program() {
  remove_files "$1" /dev/null
  rm -rf "$1/.venv" "$1/$manifest"
  find "$1" -name __pycache__ -prune -exec rm -rf {} +
  find "$1" -depth -type d -empty -delete
  [ ! -d "$1" ] || note "$1 holds files that were not installed; they stay"
}

main() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry=true ;;
      --uninstall) remove=true ;;
      --fix-redis) fix=true ;;
      --root) [ -d "${2:-}" ] || fail "--root needs a directory"; root=$(cd "$2" && pwd -P); shift ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
  done
  [ "$root" != / ] || root=''
  $dry || [ "$(id -u)" = 0 ] || fail "must be run as root (or with --dry-run)"
  if $remove; then
    uninstall
  else
    check_python
    check_broker_program
    make_account
    make_directories
    copy_program
    write_environment
    make_tmpfs
    look_at_broker
    install_units
  fi
  [ $warnings = 0 ] || printf '%s warnings, see above\n' "$warnings"
  if [ $changes = 0 ]; then
    echo "nothing to do"
  elif $dry; then
    echo "dry run: $changes changes would be made, none was"
  else
    echo "done: $changes changes"
  fi
}

main "$@"
exit
