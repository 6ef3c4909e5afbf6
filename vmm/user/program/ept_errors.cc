// SPDX-License-Identifier: MIT
// Asks sys_ept_map for what it must do, and for what it must refuse, and checks each answer. A
// wrong one is said and counted, and the rest is asked all the same. Started again by itself as a
// child (`child` is its argument then), it asks for what is its parent's.
#include <array>
#include <cstdint>

#include "kern/user/digest.hh"
#include "vmm/user/program/vmm.hh"

namespace {

using user::Failure;

constexpr std::uint64_t page = user::page_size, guest_bytes = 64 * page;
constexpr std::uint64_t writable = 0x1000'0000, read_only = 0x1000'1000, unmapped = 0x1000'2000,
                        childs = 0x1100'0000, user_end = 0x7fff'ffff'f000,
                        kernel_image = 0xffff'ffff'8010'0000;
// What the harness finds in the guest's memory: each page has a word of its own.
constexpr std::uint64_t shared_at = 0x3000, read_only_at = 0x4000, childs_at = 0x5000,
                        last_at = guest_bytes - page;
constexpr std::int64_t nobody = 0x7fff'0000;

volatile std::uint64_t& word_at(std::uint64_t address) {
    return *reinterpret_cast<volatile std::uint64_t*>(address);
}

/// The word for a page, which nobody can know who has not got the key of this run.
std::uint64_t secret(std::uint64_t number) {
    user::Digest digest{user::argument("key", 0)};
    digest.add(number);
    return digest.value();
}

unsigned wrong = 0;  // answers

std::string_view word_of(std::int64_t answer) {
    switch (static_cast<Failure>(-answer)) {
        case Failure::invalid_argument: return "invalid_argument";
        case Failure::bad_address: return "bad_address";
        case Failure::not_found: return "not_found";
        case Failure::out_of_memory: return "out_of_memory";
        default: return answer == 0 ? "0, success" : "another error";
    }
}

void answers(std::int64_t answer, std::int64_t wanted, std::string_view what) {
    if (answer == wanted) return;
    ++wrong;
    for (const std::string_view part :
         {std::string_view{"wrong: "}, what, std::string_view{": the answer is "}, word_of(answer),
          std::string_view{", wanted is "}, word_of(wanted), std::string_view{"\n"}})
        user::print(part);
}

void refuses(std::int64_t answer, Failure failure, std::string_view what) {
    answers(answer, user::error(failure), what);
}

/// A page of the guest that nobody has asked for before: what is let through wrongly is in nobody's
/// way.
std::uint64_t new_page() {
    static std::uint64_t next = 0x1'0000;
    return next += page;
}

std::int64_t map(std::uint64_t from, std::int64_t guest, std::uint64_t to,
                 std::uint64_t perm = user::right_all) {
    return user::sys_ept_map(0, from, guest, to, perm);
}

void bad_addresses(std::int64_t guest) {
    refuses(map(writable + 8, guest, new_page()), Failure::invalid_argument, "srcva is unaligned");
    refuses(map(unmapped, guest, new_page()), Failure::bad_address, "srcva is not mapped");
    refuses(map(0, guest, new_page()), Failure::bad_address, "srcva is page zero");
    refuses(map(user_end, guest, new_page()), Failure::bad_address,
            "srcva is above the user's end");
    refuses(map(kernel_image, guest, new_page()), Failure::bad_address, "srcva is the kernel's");
    refuses(map(writable, guest, new_page() + 1), Failure::invalid_argument,
            "guest_pa is unaligned");
    refuses(map(writable, guest, guest_bytes), Failure::bad_address,
            "guest_pa is beyond the guest's memory");
    refuses(map(writable, guest, ~0ULL << 12), Failure::bad_address, "guest_pa is near 2^64");
}

void bad_rights(std::int64_t guest) {
    refuses(map(writable, guest, new_page(), 0), Failure::invalid_argument, "perm has no bit");
    refuses(map(writable, guest, new_page(), user::right_read | 8), Failure::invalid_argument,
            "perm has a bit that there is not");
    refuses(map(writable, guest, new_page(), user::right_all | 1ULL << 63),
            Failure::invalid_argument, "perm has a bit far up that there is not");
    refuses(map(writable, guest, new_page(), user::right_write), Failure::invalid_argument,
            "perm is write without read");
    refuses(map(read_only, guest, new_page(), user::right_read | user::right_write),
            Failure::invalid_argument, "write is asked of a read-only page");
}

void bad_environments(std::int64_t guest, std::int64_t child) {
    refuses(user::sys_ept_map(nobody, writable, guest, new_page(), user::right_read),
            Failure::not_found, "srcenv is nobody");
    refuses(user::sys_ept_map(guest, writable, guest, new_page(), user::right_read),
            Failure::not_found, "srcenv is a guest");
    refuses(map(writable, nobody, new_page()), Failure::not_found, "the guest is nobody");
    refuses(map(writable, child, new_page()), Failure::not_found, "the guest is a program");
    refuses(map(writable, user::env_id(), new_page()), Failure::not_found,
            "the guest is the caller");
}

/// What the child does: its parent and its parent's guest are not its own.
[[noreturn]] void be_a_child() {
    const auto parent = user::parent_id();
    user::require_equal(user::page_alloc(childs, user::right_read | user::right_write), 0, "alloc");
    word_at(childs) = secret(3);
    const auto guest = static_cast<std::int64_t>(user::receive().value);
    refuses(map(childs, guest, 0x7000), Failure::not_found, "the guest is the parent's");
    const auto own = user::env_mkguest(guest_bytes, 0, 0);
    user::require(own > 0, "a guest of the child");
    refuses(user::sys_ept_map(parent, writable, own, 0x7000, user::right_read), Failure::not_found,
            "srcenv is the parent");
    user::require_equal(user::send(parent, secret(wrong == 0 ? 4 : 5)), 0, "send");
    (void)user::receive();
    user::exit(0);
}

void good(std::int64_t guest, std::int64_t child) {
    answers(map(writable, guest, shared_at), 0, "a page with all rights");
    word_at(writable) = secret(1);  // after it was mapped: one frame, seen by both
    answers(map(read_only, guest, read_only_at, user::right_read | user::right_execute), 0,
            "a read-only page, to read and execute");
    answers(
        user::sys_ept_map(child, childs, guest, childs_at, user::right_read | user::right_write), 0,
        "a page of the child");
    answers(user::sys_ept_map(user::env_id(), writable, guest, last_at, user::right_read), 0,
            "the guest's last page, srcenv is the caller by its number");
    refuses(map(writable, guest, shared_at), Failure::invalid_argument, "a page is there already");
    user::require_equal(user::page_unmap(read_only), 0, "unmap");  // the guest keeps it
}

}  // namespace

extern "C" void main() {
    if (user::parent_id() != 0) be_a_child();
    user::require_equal(user::page_alloc(writable, user::right_read | user::right_write), 0,
                        "alloc");
    word_at(writable) = secret(0);
    user::require_equal(user::page_alloc(user::utemp, user::right_read | user::right_write), 0,
                        "alloc");
    word_at(user::utemp) = secret(2);
    user::require_equal(user::page_map(user::utemp, read_only, user::right_read), 0, "map");
    user::require_equal(user::page_unmap(user::utemp), 0, "unmap");

    const auto guest = user::env_mkguest(guest_bytes, 0, 0);
    user::require(guest > 0, "a guest");
    const auto child = user::spawn("ept_errors.elf", user::arguments());
    user::require(child > 0, "a child");
    user::require_equal(user::send(child, static_cast<std::uint64_t>(guest)), 0, "send");
    const auto message = user::receive();
    user::require_equal(message.sender, child, "the child's message");
    user::require(message.value == secret(4) || message.value == secret(5), "the child's word");
    if (message.value != secret(4)) ++wrong;

    bad_addresses(guest);
    bad_rights(guest);
    bad_environments(guest, child);
    good(guest, child);
    bad_addresses(guest);  // nothing that worked makes it forget
    user::require_equal(user::send(child, 0), 0, "send");
    if (wrong != 0) user::exit(1);
    user::finish(1);
}
