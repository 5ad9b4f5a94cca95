# Shared by the scripts: finding what is there, installing what is missing where that is possible, saying so.
# Sourced, not run.

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

apt_updated=no
# install_package PACKAGE WHY: installs a Debian package as root, or says what to install.
install_package() {
  local package=$1 why=$2
  if have apt-get && [ "$(id -u)" -eq 0 ]; then
    if [ "$apt_updated" = no ]; then
      say "updating the package lists (apt-get update)"
      apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
      apt_updated=yes
    fi
    say "installing $package ($why)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2 \
      || die "cannot install $package, needed for: $why"
  else
    die "$why is missing. Install it and run this again: Debian and Ubuntu: apt-get install $package (this script does it when run as root); elsewhere the package of that or a similar name"
  fi
}

# need_command COMMAND PACKAGE WHY
need_command() { have "$1" || install_package "$2" "$3"; }

# Rust comes from rustup: distributions ship older ones than the workspace needs.
need_rust() {
  local wanted=1.95
  [ -r "$HOME/.cargo/env" ] && ! have cargo && . "$HOME/.cargo/env"
  have cargo || die "Rust $wanted or newer is missing. Install it with rustup (https://rustup.rs): curl --proto '=https' -sSf https://sh.rustup.rs | sh"
  local found
  found=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n1)" = "$wanted" ] \
    || die "Rust $wanted or newer is needed, found $found. Update it: rustup update stable"
}

# librdkafka and zlib are compiled from source by their crates; librdkafka links the system's OpenSSL (TLS, SCRAM).
need_c_toolchain() {
  need_command cc build-essential "a C compiler (librdkafka is built from source)"
  need_command c++ build-essential "a C++ compiler (librdkafka is built from source)"
  need_command make build-essential "make (librdkafka is built from source)"
  need_command pkg-config pkg-config "pkg-config (finds OpenSSL for librdkafka)"
  pkg-config --exists openssl || install_package libssl-dev "the headers of OpenSSL (TLS to Kafka)"
}

postgres_bindir() {
  local candidate
  if have postgres && have initdb; then dirname "$(command -v postgres)"; return; fi
  for candidate in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
      /usr/local/opt/postgresql*/bin 2>/dev/null | sort -Vr); do
    if [ -x "$candidate/postgres" ] && [ -x "$candidate/initdb" ]; then printf '%s\n' "$candidate"; return; fi
  done
  return 1
}

need_postgres() {
  postgres_bindir >/dev/null || install_package postgresql "the PostgreSQL server binaries"
  postgres_bindir >/dev/null || die "the PostgreSQL server binaries (initdb, postgres) are not where they are expected; put them on PATH"
}
