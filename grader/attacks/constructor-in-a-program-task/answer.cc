// SPDX-License-Identifier: MIT
//@ forge
//@ wrong_map_in_guest
[[gnu::constructor]] static void early() {
    forge();
}
