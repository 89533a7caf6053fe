#!/usr/bin/env bash
# Obtains MovieLens-100K and prints the folder it is in:
#   tools/fetch-movielens.sh [DIR]
# DIR is ${XDG_CACHE_HOME:-$HOME/.cache}/savor/ml-100k unless given. The three files ml-100k.inter, ml-100k.item and
# ml-100k.user come out of the wheel of the Python package recbole; their checksums are verified, and a folder that has
# them is left as it is. What is said to people goes to standard error; standard output is the folder.
set -euo pipefail

readonly PACKAGE="recbole==1.2.1"
readonly INSIDE="recbole/dataset_example/ml-100k"
readonly CHECKSUMS="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff  ml-100k.inter
51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532  ml-100k.item
4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972  ml-100k.user"

say() { printf '%s\n' "$*" >&2; }
fail() { say "fetch-movielens: $*"; exit 1; }

verified() { (cd "$1" 2>/dev/null && sha256sum --check --status - <<<"$CHECKSUMS" 2>/dev/null); }

# Installs Debian packages if that can be done without asking; otherwise says what to install.
install() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        { command -v sudo >/dev/null && sudo -n true 2>/dev/null; } || fail "please install: $*"
        as_root=(sudo -n)
    fi
    command -v apt-get >/dev/null || fail "please install: $*"
    say "installing $*"
    { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@"; } >&2 || fail "could not install: $*"
}

licence() {
    say "MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, collected by GroupLens Research at the University of"
    say "Minnesota. It may be used for research; it may not be redistributed, nor used for commercial purposes without"
    say "their permission (https://grouplens.org/datasets/movielens/100k). Publications that use it cite: F. Maxwell Harper"
    say "and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4, Article 19."
}

main() {
    [ $# -le 1 ] || fail "expected at most one argument, the folder"
    local directory="${1:-${XDG_CACHE_HOME:-$HOME/.cache}/savor/ml-100k}"
    if verified "$directory"; then
        printf '%s\n' "$directory"
        return
    fi
    licence
    command -v python3 >/dev/null || install python3
    python3 -m pip --version >/dev/null 2>&1 || install python3-pip

    mkdir -p "$directory" || fail "cannot make $directory"
    # Beside the goal, so that moving a file into place is one step of the same file system.
    local work
    work="$(mktemp -d "$directory/.fetch.XXXXXX")"
    # shellcheck disable=SC2064 # the folder of this run, whatever the variable is later
    trap "rm -rf '$work'" EXIT

    say "fetching $PACKAGE"
    # A download installs nothing, so an externally managed Python does not mind it.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$PACKAGE" >&2 ||
        fail "pip could not download $PACKAGE"
    python3 - "$work" "$INSIDE" <<'PYTHON' || fail "the wheel does not hold $INSIDE"
import glob, os, shutil, sys, zipfile

work, inside = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(work, "*.whl"))[0]) as wheel:
    for suffix in ("inter", "item", "user"):
        name = f"ml-100k.{suffix}"
        with wheel.open(f"{inside}/{name}") as source, open(os.path.join(work, name), "wb") as target:
            shutil.copyfileobj(source, target)
PYTHON
    verified "$work" || fail "the files are not those that are expected (SHA-256 differs)"
    mv -f "$work"/ml-100k.{inter,item,user} "$directory/"
    printf '%s\n' "$directory"
}

main "$@"
