#!/bin/sh
# Are the programs there that pip cannot install? Says what is missing, one line each, with the Debian package.
# Usage: tools/check_environment.sh [build] [python]
#   build   g++, make, perl: compiling the generated C++ and running Verilator (default: both groups)
#   python  a Python >= 3.11 that can make a virtual environment; PYTHON names one
set -u

status=0
missing() { # program, Debian package, what for
    echo "error: $1 is missing ($3); on Debian or Ubuntu: sudo apt-get install $2" >&2
    status=1
}
have() { command -v "$1" >/dev/null 2>&1; }

groups=${*:-build python}
for group in $groups; do
    case $group in
    build)
        have "${CXX:-g++}" || missing "${CXX:-g++}" g++ "compiles the generated C++ and the simulations"
        have make || missing make make "drives the Verilator builds"
        have perl || missing perl perl "the verilator command is a perl script"
        ;;
    python)
        python=${PYTHON:-python3.11}
        if ! have "$python"; then
            missing "$python" "python3.11 python3.11-venv" "version 3.11 or later; PYTHON=... names another"
        elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            missing "Python 3.11 or later" "python3.11 python3.11-venv" "$python is older; PYTHON=... names another"
        elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
            missing "the venv module of $python" python3.11-venv "makes the project's .venv"
        fi
        ;;
    *)
        echo "error: check_environment.sh: unknown group '$group', expected build or python" >&2
        exit 2
        ;;
    esac
done
exit $status
