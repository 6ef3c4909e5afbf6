#!/usr/bin/env bash
# Gradescope runs this once, as root, while it makes the autograder's image [Autograder
# Specifications]. It needs the network for Debian's or Ubuntu's packages; run_autograder needs
# none.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
umask 077
here=$(dirname "$(readlink -f "$0")")
cd "$here"
apt-get update -qq
apt-get install -qq -y --no-install-recommends python3 >/dev/null
rm -rf nestling
tar -xzf nestling.tar.gz --no-same-owner --no-same-permissions
rm nestling.tar.gz
cd nestling
packages=$(/usr/bin/python3 -c 'import sys; sys.path.insert(0, "grader/verbs"); import bootstrap; print(*bootstrap.PACKAGES["grade"], "python3-jinja2")')
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $packages >/dev/null
# The references become objects, their sources go, and the kit is built; then the objects must get
# all points.
/usr/bin/python3 -X utf8 -m grader.export.sealing
# The student's files are judged by users of their own (docs/grading-a-class.md), who may not look
# in here.
chmod -R go-rwx "$here"
