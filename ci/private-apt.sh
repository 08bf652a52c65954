# Sourced by the scripts here that keep packages of Debian's in the user's cache: apt with
# roots of its own. The system's lists, cache and sources stay as they are, and it needs no
# privilege. The caller has say and die, and says in $instead_of_fetching what else can be done.
# shellcheck shell=bash

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Ends the script if the tools that fetch and unpack packages are missing, or those named.
needs_apt() {
  local tool
  for tool in apt-get dpkg-deb flock "$@"; do
    type -P "$tool" >/dev/null ||
      die "expected $tool to fetch packages with, found none; run ci/setup, or $instead_of_fetching" 2
  done
  [[ -f $keyring ]] ||
    die "expected $keyring to verify Debian's packages with, found none; install debian-archive-keyring, or $instead_of_fetching" 2
}

# Keeps other callers out of the folder until the script ends.
lock() {
  exec 9>"$1/.lock"
  if ! flock -n 9; then
    say "waiting for another caller to finish"
    flock 9
  fi
}

# With the folder's lock held: makes $tmp in it, with the configuration of a private apt in
# $tmp/apt.conf, and finds the mirror. Any such folder is left over from an interrupted run.
private_apt() {
  rm -rf "$1"/.fetch.*
  tmp=$(mktemp -d "$1/.fetch.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  mkdir -p "$tmp"/state/lists/partial "$tmp"/cache/archives/partial
  : >"$tmp/status"
  cat >"$tmp/apt.conf" <<CONF
Dir::Etc::SourceList "$tmp/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$tmp/state";
Dir::State::Lists "$tmp/state/lists";
Dir::State::status "$tmp/status";
Dir::Cache "$tmp/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
CONF
  mirror=$(find_mirror)
}

# The mirror this machine's own package sources name. A fresh container image comes without
# lists, and indextargets is silent then: fetch those sources' lists into the private root.
find_mirror() {
  local ask=(indextargets --format "\$(REPO_URI)" 'Identifier: Packages' 'Component: main' 'Label: Debian')
  local found
  found=$(apt-get "${ask[@]}" | sed -n 1p)
  if [[ -z $found ]]; then
    local private=(-o "Dir::State::Lists=$tmp/state/lists" -o "Dir::Cache=$tmp/cache" -o 'APT::Sandbox::User=root')
    apt-get "${private[@]}" update -q >&2 || true
    found=$(apt-get "${private[@]}" "${ask[@]}" | sed -n 1p)
  fi
  [[ -n $found ]] ||
    die "expected a Debian mirror among this machine's package sources, found none; add one, or $instead_of_fetching"
  printf '%s\n' "$found"
}

# Has the private apt read these suites; fails if the mirror lacks one.
read_suites() {
  local suite
  for suite in "$@"; do
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"
  done >"$tmp/sources.list"
  apt-get -c "$tmp/apt.conf" update -q >"$tmp/update.log" 2>&1
}

# Why read_suites failed.
update_error() { grep -m 1 '^E:' "$tmp/update.log" || tail -n 1 "$tmp/update.log"; }

# Downloads packages and what they depend on, and unpacks them to $tmp/tree. The private apt
# believes that nothing is installed, so libc is among it. Older packages have /lib apart from
# /usr/lib.
unpack_packages() {
  local package
  apt-get -c "$tmp/apt.conf" install -q -y --download-only --no-install-recommends "$@" >"$tmp/install.log" 2>&1 ||
    die "apt-get could not download $*: $(grep -m 1 '^E:' "$tmp/install.log" || tail -n 1 "$tmp/install.log")"
  mkdir -p "$tmp"/tree/usr/{lib,lib64,bin,sbin}
  ln -s usr/lib usr/lib64 usr/bin usr/sbin "$tmp/tree"
  for package in "$tmp"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$tmp/tree"
    rm "$package"
  done
}

# Has these programs in $tmp/tree start with their own loader and find their own
# libraries, as they will be in $folder. patchelf is among the packages. A program's rpath holds
# for the libraries of its libraries too, but not for those of a library that has a path itself.
bind() {
  local loaders libraries patchelf file
  loaders=("$tmp"/tree/usr/lib/*/ld-linux*.so.*)
  [[ -x ${loaders[0]} ]] || die "expected a loader in usr/lib of the packages, found none"
  libraries=$(dirname "${loaders[0]}")
  patchelf=("${loaders[0]}" --library-path "$libraries" "$tmp/tree/usr/bin/patchelf")
  local own=(--force-rpath --set-rpath "${libraries/#"$tmp/tree"/"$folder"}")
  for file in "$@"; do
    is_elf "$file" || continue
    "${patchelf[@]}" --set-interpreter "${loaders[0]/#"$tmp/tree"/"$folder"}" "${own[@]}" "$file"
  done
  while IFS= read -r -d '' file; do
    is_elf "$file" && [[ -n $("${patchelf[@]}" --print-rpath "$file") ]] || continue
    "${patchelf[@]}" "${own[@]}" "$file"
  done < <(find "$libraries" -name '*.so*' -type f -print0)
}

# Whether it is an ELF file, and not a link to one.
is_elf() { [[ -f $1 && ! -L $1 ]] && cmp -s -n 4 "$1" - <<<$'\x7fELF'; }
